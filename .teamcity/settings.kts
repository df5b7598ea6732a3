// Made by `dagger call ci-files` from ci/upkeep/: edit the template or the description there.
// Needs agents on which Docker runs, and a VCS root that takes tags for branches.
import jetbrains.buildServer.configs.kotlin.BuildType
import jetbrains.buildServer.configs.kotlin.DslContext
import jetbrains.buildServer.configs.kotlin.buildSteps.script
import jetbrains.buildServer.configs.kotlin.project
import jetbrains.buildServer.configs.kotlin.triggers.vcs
import jetbrains.buildServer.configs.kotlin.version

version = "2025.07"

fun dagger(title: String, call: String, branches: String) = BuildType {
    name = title
    artifactRules = "out/assets => assets"
    vcs {
        root(DslContext.settingsRoot)
    }
    triggers {
        vcs {
            branchFilter = branches
        }
    }
    requirements {
        exists("docker.server.version")
    }
    steps {
        script {
            scriptContent = """
                set -eu
                curl -fsSLo dagger.tar.gz https://dl.dagger.io/dagger/releases/0.21.8/dagger_v0.21.8_linux_amd64.tar.gz
                echo "53e226c7da8fb75171e58c35759d736d961ce8b3a12db0baa7b7107954fccc5a  dagger.tar.gz" | sha256sum -c
                tar -xzf dagger.tar.gz dagger
                ./dagger call $call
            """.trimIndent()
        }
    }
}

project {
    buildType(dagger("test", "test", "+:*\n-:v*"))
    buildType(dagger("boot", "boots", "+:*\n-:v*"))
    for (variant in listOf("spin-only", "spin-tailscale")) {
        buildType(dagger("build $variant", "build --outputs kernel,initramfs,cmdline,installer,iso,metal --variant $variant export --path out", "+:v*"))
    }
}

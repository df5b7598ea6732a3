// %%{header}
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
                curl -fsSLo dagger.tar.gz %%{dagger_url}
                echo "%%{dagger_sha256}  dagger.tar.gz" | sha256sum -c
                tar -xzf dagger.tar.gz dagger
                ./dagger call $call
            """.trimIndent()
        }
    }
}

project {
    buildType(dagger("test", "test", "+:*\n-:v*"))
    buildType(dagger("boot", "boots", "+:*\n-:v*"))
    for (variant in listOf(%%{variants_quoted})) {
        buildType(dagger("build $variant", "%%{build} $variant export --path out", "+:v*"))
    }
}

// %%{header}
// Needs agents with Docker, and a VCS root that uses tags as branches.
import jetbrains.buildServer.configs.kotlin.BuildType
import jetbrains.buildServer.configs.kotlin.DslContext
import jetbrains.buildServer.configs.kotlin.buildSteps.script
import jetbrains.buildServer.configs.kotlin.project
import jetbrains.buildServer.configs.kotlin.triggers.ScheduleTrigger
import jetbrains.buildServer.configs.kotlin.triggers.schedule
import jetbrains.buildServer.configs.kotlin.triggers.vcs
import jetbrains.buildServer.configs.kotlin.version

version = "2025.07"

// Without branches it runs every week, on the default one.
fun dagger(title: String, branches: String, vararg calls: String) = BuildType {
    name = title
    artifactRules = "out/assets => assets\nworkloads => workloads"
    vcs {
        root(DslContext.settingsRoot)
    }
    triggers {
        if (branches.isEmpty()) {
            schedule {
                schedulingPolicy = weekly {
                    dayOfWeek = ScheduleTrigger.DAY.Monday
                    hour = 4
                    minute = 47
                }
                branchFilter = "+:<default>"
                triggerBuild = always()
                withPendingChangesOnly = false
            }
        } else {
            vcs {
                branchFilter = branches
            }
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
                %%{check_curl}
                tar -xzf dagger.tar.gz dagger
            """.trimIndent() + calls.joinToString("") { "\n./dagger %%{call} $it" }
        }
    }
}

project {
    buildType(dagger("test", "+:*\n-:v*", "test"))
    buildType(dagger("boot", "+:*\n-:v*", "boots"))
    buildType(dagger("workloads", "", "%%{workloads} workloads"))
    for (variant in listOf(%%{variants_quoted})) {
        buildType(dagger(
            "build $variant",
            "+:v*",
            "%%{build} $variant export --path out",
            "publish --variant $variant --address %%{address} " + %%?address
                "--username \"\$REGISTRY_USERNAME\" --password env:REGISTRY_PASSWORD", %%?address
        ))
    }
}

"""The functions that the fault tests call."""

import os
import signal

import dagger
from dagger import dag, function, object_type

IMAGE = "docker.io/library/debian:trixie-slim"


@object_type
class Faults:
    """Bad things on demand."""

    @function
    async def wait(self, seconds: str) -> str:
        """Run a command that takes long; the number of seconds tells it from others."""
        return await dag.container().from_(IMAGE).with_exec(["sleep", seconds]).stdout()

    @function
    def leave(self, code: int) -> str:
        """End the process without an answer."""
        print("last words on stdout", flush=True)
        os._exit(code)

    @function
    def die(self) -> str:
        """Be killed."""
        print("about to be killed", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        return "never"

    @function
    async def service(self) -> str:
        """Ask for what the embedded engine does not have."""
        return await dag.container().from_(IMAGE).as_service().endpoint()

    @function
    async def llm(self) -> str:
        """Ask for what the embedded engine does not have, at the root."""
        return await dag.llm().model()

    @function
    def secrets(self, in_env: dagger.Secret, in_file: dagger.Secret, seconds: str) -> dagger.Container:
        """Use secrets in each way that there is, for a while."""
        made = dag.set_secret("made", "-".join(("canary", "made", "of", "parts")))
        script = f'echo "$IN_ENV $MADE"; cat /run/in-file; test ${{#MADE}} = 20; sleep {seconds}'
        return (
            dag.container()
            .from_(IMAGE)
            .with_secret_variable("IN_ENV", in_env)
            .with_secret_variable("MADE", made)
            .with_mounted_secret("/run/in-file", in_file)
            .with_exec(["sh", "-ec", script])
        )

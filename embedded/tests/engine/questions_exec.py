"""Questions about execs, mounts and secrets."""

from __future__ import annotations

import dagger
from dagger import dag

from embedded.tests.engine.questions import base, question, sh


@question
async def exec_stdout_keeps_bytes_and_newlines() -> object:
    return await sh("printf 'a\\n\\nb'").stdout()


@question
async def exec_stderr_apart_from_stdout() -> object:
    c = sh("echo out; echo err >&2")
    return [await c.stdout(), await c.stderr()]


@question
async def exec_stdout_is_of_the_last_exec() -> object:
    return await sh("echo two", sh("echo one")).stdout()


@question
async def exec_stdout_without_exec() -> object:
    return await base().stdout()


@question
async def exec_failure_raises_with_code_and_output() -> object:
    await sh("echo out; echo err >&2; exit 7").sync()


@question
async def exec_failure_is_lazy() -> object:
    sh("exit 7")
    return "not evaluated"


@question
async def exec_expect_any_returns_code() -> object:
    c = base().with_exec(["sh", "-c", "echo kept; exit 9"], expect=dagger.ReturnType.ANY)
    return [await c.exit_code(), await c.stdout()]


@question
async def exec_expect_failure_of_success() -> object:
    return await base().with_exec(["true"], expect=dagger.ReturnType.FAILURE).exit_code()


@question
async def exec_missing_command() -> object:
    await base().with_exec(["no-such-command"]).sync()


@question
async def exec_empty_args() -> object:
    await base().with_exec([]).sync()


@question
async def exec_stdin() -> object:
    return await base().with_exec(["cat"], stdin="from stdin\n").stdout()


@question
async def exec_redirect_stdout() -> object:
    c = base().with_exec(["sh", "-c", "echo hidden"], redirect_stdout="/tmp/o")
    return [await c.file("/tmp/o").contents(), await c.stdout()]


@question
async def exec_use_entrypoint() -> object:
    c = base().with_entrypoint(["echo", "entry"])
    return [
        await c.with_exec(["a"], use_entrypoint=True).stdout(),
        await c.with_exec(["echo", "a"]).stdout(),
    ]


@question
async def exec_default_args() -> object:
    return await base().with_default_args(["echo", "default"]).with_exec([], use_entrypoint=False).stdout()


@question
async def exec_env_is_visible_and_ordered() -> object:
    c = base().with_env_variable("A", "1").with_env_variable("B", "$A-${A}", expand=True).with_env_variable("C", "$A")
    return await sh('echo "$A|$B|$C"', c).stdout()


@question
async def exec_env_removed() -> object:
    c = base().with_env_variable("A", "1").without_env_variable("A")
    return await sh('echo "${A-unset}"', c).stdout()


@question
async def exec_workdir_relative_paths_add_up() -> object:
    c = base().with_workdir("/srv").with_workdir("sub")
    return [await c.workdir(), await sh("pwd", c).stdout()]


@question
async def exec_user() -> object:
    return await sh("id -u", base().with_user("65534")).stdout()


@question
async def exec_changes_stay_in_rootfs() -> object:
    c = sh("mkdir -p /d && echo x > /d/f && rm -f /etc/hostname.gone")
    return [await c.directory("/d").entries(), await c.file("/d/f").contents()]


@question
async def exec_leaves_no_helper_files() -> object:
    return await sh("ls -A /").directory("/").glob("*dagger*")


@question
async def exec_is_cached() -> object:
    a = await sh("cat /proc/sys/kernel/random/uuid").stdout()
    b = await sh("cat /proc/sys/kernel/random/uuid").stdout()
    return a == b


@question
async def exec_cache_is_busted_by_env() -> object:
    s = "cat /proc/sys/kernel/random/uuid"
    a = await sh(s, base().with_env_variable("BUST", "1")).stdout()
    b = await sh(s, base().with_env_variable("BUST", "2")).stdout()
    return a == b


@question
async def mount_directory_is_visible_but_not_in_rootfs() -> object:
    d = dag.directory().with_new_file("f", "mounted")
    c = base().with_mounted_directory("/m", d)
    return [await sh("cat /m/f", c).stdout(), await c.rootfs().exists("m/f")]


@question
async def mount_directory_writes_show_in_later_exec_and_in_directory() -> object:
    c = base().with_mounted_directory("/m", dag.directory().with_new_file("f", "1"))
    c = sh("echo 2 > /m/g", c)
    return [await sh("ls /m", c).stdout(), await c.directory("/m").entries()]


@question
async def mount_file() -> object:
    f = dag.directory().with_new_file("f", "file").file("f")
    return await sh("cat /m.txt", base().with_mounted_file("/m.txt", f)).stdout()


@question
async def mount_cache_is_shared_between_runs() -> object:
    v = dag.cache_volume("conformance-shared")
    c = base().with_mounted_cache("/c", v)
    await sh("echo kept > /c/f", c.with_env_variable("N", "1")).sync()
    return await sh("cat /c/f", c.with_env_variable("N", "2")).stdout()


@question
async def mount_temp() -> object:
    c = base().with_mounted_temp("/t")
    return await sh("ls /t", sh("touch /t/f", c)).stdout()


@question
async def secret_file_and_env() -> object:
    s = dag.set_secret("conformance", "hunter2hunter2")
    c = base().with_secret_variable("S", s).with_mounted_secret("/run/s", s)
    return await sh('[ "$S" = "$(cat /run/s)" ] && echo same; stat -c %a /run/s', c).stdout()


@question
async def secret_is_scrubbed_from_output() -> object:
    s = dag.set_secret("conformance-scrub", "correct-horse-battery")
    return await sh("echo x $S y", base().with_secret_variable("S", s)).stdout()


@question
async def secret_is_not_in_rootfs() -> object:
    s = dag.set_secret("conformance-rootfs", "hunter2hunter2")
    c = sh("true", base().with_mounted_secret("/run/s", s))
    try:
        return len(await c.file("/run/s").contents())
    except dagger.QueryError:
        return "no such file"

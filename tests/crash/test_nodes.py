"""Three processes coordinate on one PostgreSQL database; one of them is killed in the middle of its run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PLAN = """\
plan: {name}
agents:
  - {{id: {name}-w, run: "sh {script} {{task.id}}", count: 2}}
tasks:
{tasks}
"""
SCRIPT = """\
sleep 0.4
echo "$1" >> {effects}
echo "$1 is done"
"""
TASKS = 12
PATIENCE_S = 180.0


def concerted(*words: str, folder: Path) -> subprocess.Popen[str]:
    env = {
        **os.environ,
        "CONCERTED__COORDINATION__MANAGER__HEARTBEAT_INTERVAL": "500ms",
        "CONCERTED__COORDINATION__MANAGER__HEALTH_CHECK_INTERVAL": "500ms",
    }
    argv = [str(Path(sys.executable).with_name("concerted")), *words]
    return subprocess.Popen(argv, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def plan_of(folder: Path, name: str) -> Path:
    script, effects = folder / f"{name}.sh", folder / f"{name}.effects"
    script.write_text(SCRIPT.format(effects=effects))
    effects.touch()
    tasks = "".join(f"  - {{id: {name}-{i}}}\n" for i in range(TASKS))
    path = folder / f"{name}.yaml"
    path.write_text(PLAN.format(name=name, script=script, tasks=tasks))
    return path


def until(what: Callable[[], bool], told: str) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < ends_at, told
        time.sleep(0.1)


def test_the_run_of_a_node_that_is_killed_goes_on_at_another_one(postgres, tmp_path):
    url = postgres()
    names = ("one", "two", "three")
    nodes = {
        name: concerted("run", str(plan_of(tmp_path, name)), "--store", url, "--json", folder=tmp_path)
        for name in names
    }
    effects = {name: tmp_path / f"{name}.effects" for name in names}
    try:
        until(lambda: len(effects["one"].read_text().splitlines()) >= 3, "the first run never got going")
        nodes["one"].send_signal(signal.SIGKILL)
        nodes["one"].communicate(timeout=PATIENCE_S)
        for name in ("two", "three"):
            out, _ = nodes[name].communicate(timeout=PATIENCE_S)
            assert nodes[name].returncode == 0
            assert json.loads(out)["status"] == "completed"
        # whoever asks is a node as well, and takes over what nobody else has
        last = concerted("resume", "one", "--store", url, "--json", folder=tmp_path)
        out, _ = last.communicate(timeout=PATIENCE_S)
        assert last.returncode == 0, out
        view = json.loads(out)
    finally:
        for node in nodes.values():
            if node.poll() is None:
                node.kill()
                node.communicate()
    assert view["status"] == "completed"
    assert [task["status"] for task in view["tasks"]] == ["done"] * TASKS
    done = effects["one"].read_text().splitlines()
    assert set(done) == {f"one-{i}" for i in range(TASKS)}, "a task was lost"
    # command lines that were killed in the middle with their node are begun again, under the same key
    assert len(done) <= TASKS + 2

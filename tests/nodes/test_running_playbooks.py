"""Playbooks as ansible-runner really runs them: what roles answer, what failed, how far they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from listener import Heard
from processes import with_words

from nodes.answers import AnswerError
from nodes.errors import PlaybookError, UnreachableError
from nodes.playbooks import Playbooks

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTS = """
nodes:
  hosts: {one: {}, two: {}}
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
away:
  hosts:
    three: {ansible_host: 192.0.2.1, ansible_port: 9, ansible_ssh_common_args: -o ConnectTimeout=1 -o BatchMode=yes}
"""
ANSWERING = """
- hosts: nodes
  gather_facts: false
  tasks:
    - ansible.builtin.command: {argv: [printf, "{{ inventory_hostname }}"]}
      register: printed
    - ansible.builtin.set_stats:
        data: {printed: "{{ {inventory_hostname: printed.stdout} }}"}
    - ansible.builtin.set_stats:
        data: {name: "{{ {inventory_hostname: told_name} }}", flat: 1}
      run_once: true
      when: told_name is defined
"""
FAILING = """
- hosts: nodes
  gather_facts: false
  tasks:
    - ansible.builtin.command: {argv: ["false"]}
      ignore_errors: true
    - name: Refuse
      ansible.builtin.fail: {msg: "this node\\n is too small"}
"""
RESCUED = """
- hosts: one
  gather_facts: false
  tasks:
    - name: Try
      block:
        - ansible.builtin.command: {argv: ["false"]}
      rescue:
        - name: Tell why
          ansible.builtin.fail: {msg: the reason}
"""
UNREACHABLE = "- {hosts: away, gather_facts: false, tasks: [{name: Ping, ansible.builtin.ping: {}}]}\n"
COUNTING = """
- hosts: one
  gather_facts: false
  tasks:
    - name: Any title
      count: {file: "{{ playbook_dir }}/count"}
      register: counted
      until: counted.progress.finished == 3
      retries: 5
      delay: 0
"""
COUNT = """
import pathlib
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={"file": {"type": "path"}})
file = pathlib.Path(module.params["file"])
count = int(file.read_text()) + 1 if file.exists() else 1
file.write_text(str(count))
module.exit_json(changed=False, progress={"finished": count})
"""


WARNING = """
- hosts: nodes
  gather_facts: false
  tasks:
    - name: Try something
      warn: {}
    - name: Try it again
      warn: {}
"""
WARN = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={})
module.warn("this is slow")
module.exit_json(changed=False)
"""
FAILED_COMMAND = """
- hosts: one
  gather_facts: false
  tasks:
    - name: Start it
      ansible.builtin.command: {argv: [sh, -c, "echo no room left >&2; exit 3"]}
"""
BROKEN = "- {hosts: one, gather_facts: false, tasks: [{ansible.builtin.include_tasks: broken_tasks.yml}]}\n"
SLEEPING = """
- hosts: one
  gather_facts: false
  tasks:
    - name: Sleep
      ansible.builtin.command: {argv: ["{{ ansible_playbook_python }}", -c, "{{ sleeper }}", "{{ playbook_dir }}/asleep"]}
      vars:
        sleeper: import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(987654)
"""
RUN = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from listener import Heard
from nodes.playbooks import Playbooks
folder = Path(sys.argv[1])
Playbooks(folder / "hosts.yml", Heard(), None, folder).run("sleeping")
"""


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def playbooks(tmp_path: Path, heard: Heard) -> Playbooks:
    (tmp_path / "hosts.yml").write_text(HOSTS)
    folder = tmp_path / "playbooks"
    (folder / "library").mkdir(parents=True)
    (folder / "library" / "count.py").write_text(COUNT)
    (folder / "library" / "warn.py").write_text(WARN)
    for name, text in (
        ("answering", ANSWERING), ("failing", FAILING), ("unreachable", UNREACHABLE), ("counting", COUNTING), ("sleeping", SLEEPING), ("rescued", RESCUED),
        ("warning", WARNING), ("failed_command", FAILED_COMMAND), ("broken", BROKEN), ("broken_tasks", "- {hosts: one}"),
    ):  # fmt: skip
        (folder / f"{name}.yml").write_text(text)
    return Playbooks(tmp_path / "hosts.yml", heard, tmp_path / "log", tmp_path)


def test_an_answer_has_every_hosts_value_and_what_changed_is_counted(playbooks: Playbooks) -> None:
    answers = playbooks.run("answering")
    assert answers["printed"] == {"one": "one", "two": "two"}
    assert answers.changed == 2


def test_a_missing_answer_names_the_playbook_and_the_key(playbooks: Playbooks) -> None:
    with pytest.raises(AnswerError, match=r"playbook answering did not answer name: expected a task with .*set_stats"):
        playbooks.run("answering")["name"]


@pytest.mark.parametrize("name", ["{{ lookup('pipe', 'touch /tmp/faasbed-evil') }}", "{% raw %}", "a b=c", "no"])
def test_a_variable_is_data_and_no_template(playbooks: Playbooks, name: str) -> None:
    answers = playbooks.run("answering", told_name=name)
    assert answers["name"] == {"one": name}
    with pytest.raises(AnswerError, match="answered flat with int: expected a value by host"):
        answers["flat"]


def test_a_failure_is_one_line_with_host_and_task_and_an_ignored_one_is_none(playbooks: Playbooks) -> None:
    with pytest.raises(PlaybookError) as caught:
        playbooks.run("failing")
    assert str(caught.value) in {f"{host}: Refuse: this node is too small" for host in ("one", "two")}
    assert not isinstance(caught.value, UnreachableError)


def test_of_a_failure_that_was_rescued_what_came_of_it_is_told(playbooks: Playbooks) -> None:
    with pytest.raises(PlaybookError, match="one: Tell why: the reason"):
        playbooks.run("rescued")


def test_a_node_that_is_away_is_told_from_a_failure(playbooks: Playbooks) -> None:
    with pytest.raises(
        UnreachableError, match=r"three: Ping: the node does not answer over SSH \(ssh: connect to host"
    ):
        playbooks.run("unreachable")


def test_progress_comes_from_every_retry_whatever_the_task_is_called(playbooks: Playbooks, heard: Heard) -> None:
    playbooks.run("counting")
    assert heard.steps == [("one", {"finished": number}) for number in (1, 2, 3)]
    assert heard.tasks == ["Any title"]


def test_what_ansible_printed_is_in_the_log(playbooks: Playbooks, tmp_path: Path) -> None:
    playbooks.run("counting")
    playbooks.run("answering")
    logs = sorted((tmp_path / "log").iterdir())
    assert [log.name for log in logs] == ["01-counting", "02-answering"]
    assert "TASK [Any title]" in (logs[0] / "stdout").read_text()
    assert not (logs[0] / "command").exists()  # it has the whole environment


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_nothing_of_a_playbook_goes_on_when_its_controller_was_ended(
    playbooks: Playbooks, tmp_path: Path, root: Path, number: signal.Signals
) -> None:
    assert playbooks
    words = [sys.executable, "-c", RUN, str(tmp_path), str(root), str(Path(__file__).parent)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as controller:
        try:
            asleep = tmp_path / "playbooks" / "asleep"
            wait_until(asleep.exists)
            assert with_words(os.fsencode(asleep))
            controller.send_signal(number)
            wait_until(lambda: not with_words(os.fsencode(asleep)))
            controller.wait(60)
        finally:
            controller.kill()
    wait_until(lambda: not with_words(str(tmp_path / "hosts.yml").encode()))


def wait_until(condition: Callable[[], object], within_s: float = 60) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_modules_warn_of_is_said_once_and_kept(playbooks: Playbooks, heard: Heard) -> None:
    playbooks.run("warning")
    assert sorted(playbooks.warnings) == ["one: this is slow", "two: this is slow"]
    assert [sentence for sentence in heard.sentences if "warning" in sentence] == [
        f"  warning: {warning}" for warning in playbooks.warnings
    ]


def test_a_command_that_fails_is_quoted(playbooks: Playbooks) -> None:
    with pytest.raises(PlaybookError, match=r"^one: Start it: sh failed with exit code 3: no room left$"):
        playbooks.run("failed_command")


def test_an_error_that_is_no_tasks_is_ansibles_own_sentence(playbooks: Playbooks) -> None:
    with pytest.raises(PlaybookError, match=r"^[^^]*resolve module/action .hosts.[^^]*$"):
        playbooks.run("broken")

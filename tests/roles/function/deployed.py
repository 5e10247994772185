"""The function on a real cluster, as tests of the platforms that need one deploy it and send it requests."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from cluster import NODES, Cluster

if TYPE_CHECKING:
    import subprocess

    from image import BuiltImage

# Fires a number of requests together at an address and prints the replies as a list.
ASK = """
import http.client, json, sys, threading
address, port, host, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
texts = {str(n): ("moon cheese round" if n % 2 else "earth bread flat") + f" word{n % 7}" for n in range(60)}
labels = {key: "FAKE" if int(key) % 2 else "REAL" for key in texts}
body = json.dumps({"x_dict": texts, "y_dict": labels, "model": "mnb"})
replies = []
def ask():
    connection = http.client.HTTPConnection(address, port, timeout=120)
    connection.request("POST", "/", body, {"Host": host, "Content-Type": "application/json"})
    answer = connection.getresponse()
    replies.append([answer.status, answer.read().decode()])
threads = [threading.Thread(target=ask) for _ in range(count)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(replies))
"""
# Prints which of the addresses take a connection.
CONNECT = """
import json, socket, sys
taken = []
for door in sys.argv[1:]:
    address, port = door.split(":")
    try:
        socket.create_connection((address, int(port)), timeout=2).close()
    except OSError:
        continue
    taken.append(door)
print(json.dumps(taken))
"""


class Deployed:
    """The function on the session's cluster, on one of its platforms."""

    def __init__(self, cluster: Cluster, image: BuiltImage, platform: str, services: list[dict[str, Any]]) -> None:
        self.cluster = cluster
        self.ports = {service["gateway"]: service["port"] for service in services}
        self.digest = (image.build / "function.digest").read_text().strip()
        self.variables: dict[str, Any] = {
            "function_platform": platform,
            "function_artifacts_dir": str(cluster.artifacts),
            "function_image_archive": str(image.build / "function.oci.tar"),
            "function_services": [{**service, "congestion_control": "cubic", "timeout_s": 300} for service in services],
        }

    def play(self, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run the function's part of the playbook, as a user would."""
        extra = json.dumps(self.variables | variables)
        return self.cluster.lab.playbook("playbooks/function.yml", "--limit", "compute", "-e", extra, *arguments)

    def send(self, node: str, host: str, count: int) -> list[tuple[int, str]]:
        """Send requests together from the base station to a node's address; return each one's status and text."""
        address = self.cluster.lab.data_address(("bs", *NODES).index(node))
        done = self.cluster.lab.ssh(
            "bs", shlex.join(["python3", "-c", ASK, address, str(self.ports[node]), host, str(count)])
        )
        assert done.returncode == 0, done.stderr
        return [(status, text) for status, text in json.loads(done.stdout)]

    def ask(self, node: str, host: str, count: int) -> list[dict[str, Any]]:
        """Send requests that are all answered; return the replies."""
        replies = self.send(node, host, count)
        assert [status for status, _ in replies] == [200] * count, replies
        return [json.loads(text) for _, text in replies]

    def pods(self, role: str = "replica") -> list[dict[str, Any]]:
        """The pods of the services that are not ending: replicas, or gateways."""
        words = ("get", "pods", "--namespace", "faasbed", "--selector", f"faasbed.io/role={role}", "--output", "json")
        listed = json.loads(self.cluster.kubectl(*words))["items"]
        return [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]

"""The containers themselves: what runs, as whom, with which rights, and how it stops."""

from collections import Counter

from shared.broker.topology import TOPOLOGY
from shared.runtime.settings import Settings
from tests.compose.running import RunningStack, eventually

OUR_SERVICES = ("api", "scheduler", "sender", "fake-provider")
EXPECTED = {"mongo": 1, "rabbitmq": 1, "api": 1, "fake-provider": 1, "scheduler": 2, "sender": 3}


def test_every_container_is_there_and_healthy(stack: RunningStack) -> None:
    # When the containers are listed, then each service has as many as asked for, all healthy
    containers = stack.containers()
    assert Counter(container.service for container in containers) == EXPECTED
    assert {container.name: container.state for container in containers} == {
        container.name: "healthy" for container in containers
    }


def test_our_containers_run_without_rights(stack: RunningStack) -> None:
    for service in OUR_SERVICES:
        # Given a container of each service of ours
        container = stack.containers(service)[0]
        host = container.document["HostConfig"]

        # Then it has no rights to lose, and bounds
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert host["Memory"] > 0, service
        assert host["LogConfig"]["Config"]["max-size"], service

        # And a look from inside says the same
        user = stack.run_inside(container, "import os; print(os.getuid(), os.getgid())")
        assert user.stdout.split() == ["10001", "10001"], service
        written = stack.run_inside(container, "open('/app/written', 'w')")
        assert "Read-only file system" in written.stderr, service
        assert stack.run_inside(container, "open('/tmp/written', 'w')").returncode == 0, service


def test_the_image_holds_no_tools_to_build_with(stack: RunningStack) -> None:
    sender = stack.containers("sender")[0]
    found = stack.run_inside(sender, "import shutil; print([shutil.which(n) for n in ('gcc', 'cc', 'make', 'git')])")
    assert found.stdout.strip() == "[None, None, None, None]"
    assert "No module named 'pip'" in stack.run_inside(sender, "import pip").stderr


def test_every_setting_can_be_made_in_containers(stack: RunningStack) -> None:
    # Given what the containers of a sender are told
    told = {line.partition("=")[0] for line in stack.containers("sender")[0].document["Config"]["Env"]}

    # Then no setting of the services is missing in the compose file
    assert {name.upper() for name in Settings.model_fields} - told == set()


def test_ports_are_published_to_this_machine_alone(stack: RunningStack) -> None:
    published = {
        container.service: {
            binding["HostIp"]
            for bindings in container.document["NetworkSettings"]["Ports"].values()
            for binding in bindings or []
        }
        for container in stack.containers()
    }
    nothing: set[str] = set()
    assert published == {
        "api": {"127.0.0.1"},
        "rabbitmq": {"127.0.0.1"},
        "fake-provider": {"127.0.0.1"},
        "mongo": nothing,
        "scheduler": nothing,
        "sender": nothing,
    }


def test_the_management_shows_the_topology(stack: RunningStack) -> None:
    # When the queues are listed as the management console lists them
    def queues() -> set[str]:
        return {queue["name"] for queue in stack.management.get("/queues").raise_for_status().json()}

    # Then the topology is there by its names
    steps = {f"messages.retry.{step}" for step in ("5s", "30s", "2m", "10m", "1h")}
    names = {"messages.send", "messages.dead", "scheduler.wakeups", *steps}
    assert names <= eventually(queues, lambda found: names <= found, what="the topology", limit_s=20)
    assert {queue.name for queue in TOPOLOGY.queues} <= queues()


def test_services_stop_by_themselves_when_asked(stack: RunningStack) -> None:
    # Given one container of each service of ours
    containers = [stack.containers(service)[-1] for service in OUR_SERVICES]

    # When they are asked to stop
    stack.docker("stop", *(container.name for container in containers))

    # Then each has ended by itself, with status 0, and was not killed
    codes = {each.service: each.document["State"]["ExitCode"] for each in stack.containers() if each.state == "exited"}
    assert codes == dict.fromkeys(OUR_SERVICES, 0)

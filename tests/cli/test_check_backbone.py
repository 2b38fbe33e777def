"""``geventrelay check`` of a file whose devices join others over NATS."""

from __future__ import annotations

import pytest
from support.nats import kept_port, nats_cluster, nats_server
from support.process import GEVENTRELAY

from geventrelay.backbone.nats.address import ServerAddress
from geventrelay.backbone.nats.asked import Answer
from geventrelay.cli.commands.check import backbone_lines

pytestmark = pytest.mark.slow


def file_for(folder, urls, **more):
    path = folder / "relay.toml"
    given = "".join(f'{name.replace("_", "-")} = "{value}"\n' for name, value in more.items())
    path.write_text(
        f'[device.prices]\npattern = "relay"\nsub-port = 5555\npub-port = 5556\nbackbone = "{urls}"\n{given}'
    )
    return path


def check(run, *arguments, code=0):
    program = run([*GEVENTRELAY, "check", *map(str, arguments)])
    assert program.wait() == code, program.report()
    assert "Traceback" not in program.errors
    return program


def test_it_says_of_each_server_whether_it_can_be_reached_and_what_it_is_like(run, tmp_path):
    keeper, port = kept_port()
    with keeper, nats_server(tmp_path, "--name", "one") as nats:
        away = f"nats://127.0.0.1:{port}"
        lines = check(run, file_for(tmp_path, f"{nats.url},{away}")).output.splitlines()
        assert f"  joins the devices called prices over NATS at {nats.url}, {away}" in lines
        start = lines.index("prices at NATS:")
        assert lines[start + 1].startswith(f"  {nats.url}  nats-server 2.")
        for words in (", called one, ", "no TLS", "ms away", "max_payload 1,048,576 bytes"):
            assert words in lines[start + 1]
        assert lines[start + 2 :] == [
            "    note: it asks for no login: any program that reaches it can send messages as other devices do",
            "    note: larger messages than 1,048,576 bytes reach no other device",
            f"  {away}  no connection: Connection refused",
        ]


def test_a_login_that_is_wrong_and_one_that_may_too_little_are_told(run, tmp_path):
    configuration = tmp_path / "nats.conf"
    configuration.write_text(
        'authorization { users = [{user: relays, password: "s3cret", permissions: {publish: "other.>", '
        'subscribe: "geventrelay.>"}}] }'
    )
    with nats_server(tmp_path, "-c", str(configuration)) as nats:
        wrong = check(run, file_for(tmp_path, nats.url.replace("//", "//relays:no@"))).output
        assert "no connection: Authorization Violation" in wrong and "relays" not in wrong
        assert "note: it starts all the same" in wrong
        few = check(run, file_for(tmp_path, nats.url.replace("//", "//relays:s3cret@"))).output
        assert "does not let this device do what it needs: permissions violation for publish" in few.replace("P", "p")
        assert "s3cret" not in few and "asks for no login" not in few


def test_servers_of_one_cluster_are_told_from_others(run, tmp_path):
    note = "these are not of one cluster"
    with nats_cluster(tmp_path, 2) as cluster:
        one = check(run, file_for(tmp_path, ",".join(server.url for server in cluster))).output
        assert one.count("cluster c,") == 2 and note not in one
    with nats_server(tmp_path) as here, nats_server(tmp_path) as there:
        assert note in check(run, file_for(tmp_path, f"{here.url},{there.url}")).output


def test_without_connections_only_the_file_is_read(run, tmp_path):
    keeper, port = kept_port()
    with keeper:
        lines = check(run, file_for(tmp_path, f"nats://127.0.0.1:{port}"), "--no-connect").output.splitlines()
        assert lines[-1] == f"  joins the devices called prices over NATS at nats://127.0.0.1:{port}"


def test_a_file_that_a_device_would_not_start_without_is_an_error(run, tmp_path):
    path = file_for(tmp_path, "nats://127.0.0.1:1", backbone_login=tmp_path / "none")
    (line,) = check(run, path, code=1).errors.splitlines()
    assert "cannot join prices with others: backbone-login: expected a file that can be read" in line
    check(run, path, "--no-connect")


def test_what_a_server_says_of_itself_cannot_steer_the_terminal():
    address = ServerAddress("n1.example.net", 4222)
    answer = Answer(server=address, version="2\x1b", name="\n", id="i", cluster="\x9b", refused="\r", max_payload=1)
    lines = list(backbone_lines("prices", [answer, Answer(server=address, reason="\x1b[31m")]))
    assert all(line.isprintable() for line in lines)
    assert any("without TLS" in line for line in lines)


def test_whether_a_server_keeps_work_is_told_where_it_is_to(run, tmp_path):
    path = tmp_path / "jobs.toml"
    text = "[device.jobs]\npattern = 'streamer'\nfrontend = 5557\nbackend = 5558\ndurable = true\nbackbone = '{}'\n"
    with nats_server(tmp_path) as without, nats_server(tmp_path, "-js", "-sd", str(tmp_path / "store")) as one:
        path.write_text(text.format(f"{without.url},{one.url}"))
        lines = check(run, path).output.splitlines()
    assert lines.count("    note: it has no JetStream, and so keeps no work") == 1
    kept = (
        "    note: it says that work is stored before it is on a disk, unless its jetstream has sync_interval: always"
    )
    assert lines.count(kept) == 1

from __future__ import annotations

from pathlib import Path

from headrace.embedded.broker_log import BrokerLog

ALARM = "INFO Couldn't find leader endpoint, these partitions are likely deleted already and hence can be skipped\n"


def test_only_new_whole_lines_count_and_each_once(tmp_path: Path) -> None:
    path = tmp_path / "kafka.log"
    path.write_text(ALARM)
    log = BrokerLog(path)
    assert log.alarms() == []
    with path.open("a") as file:
        file.write("INFO something else\n" + ALARM + ALARM[:40])
    assert log.alarms() == [ALARM.strip()]
    assert log.alarms() == []
    with path.open("a") as file:
        file.write(ALARM[40:])
    assert log.alarms() == [ALARM.strip()]


def test_a_log_that_comes_later_or_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "kafka.log"
    log = BrokerLog(path)
    assert log.alarms() == []
    path.write_text("INFO a line\n" * 20)
    assert log.alarms() == []
    path.rename(tmp_path / "kafka.log.1")
    path.write_text(ALARM)
    assert log.alarms() == [ALARM.strip()]

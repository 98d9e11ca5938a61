"""Programs under supervisord, which starts them, starts them again when they die, and stops them in order.

Source: http://supervisord.org/configuration.html
"""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.interrupts import noted_signals
from deploy.local.leftovers import end_marked, mark_of
from deploy.local.program import ROOT, Program, Stage, bound_to_parent

LOG_MAX_BYTES = "20MB"
STOP_SLACK_S = 10
POLL_S = 0.1


class Supervisor:
    """One supervisord, a child of this process: whatever ends this process, it stops its programs and ends."""

    def __init__(self, folder: Path, programs: Sequence[Program], environment: Mapping[str, str]) -> None:
        """Nothing runs yet.

        Args:
            folder: of this run alone; its processes are known by it. Logs go to `folder/logs`.
            programs: what to run; names are unique.
            environment: for all programs, on top of the inherited one.
        """
        self._folder = folder
        self._programs = programs
        self._environment = os.environ | environment | mark_of(folder)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Where supervisord tells what it starts and what ended."""
        return self._folder / "logs" / "supervisord.log"

    def log_of(self, name: str) -> Path:
        """All that a program writes."""
        return self._folder / "logs" / f"{name}.log"

    def start(self) -> None:
        """Start all programs. Must be called from the main thread: supervisord ends with the thread that started it."""
        (self._folder / "logs").mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "supervisord.conf"
        configuration.write_text(self._configuration(), encoding="utf-8")
        command = (sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(configuration))
        with (self._folder / "logs" / "supervisord.out").open("wb") as output:
            self._process = subprocess.Popen(
                bound_to_parent(command, "TERM"),
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the terminal is for us, who then stop it
            )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop all programs, the services first; whatever is left when they have had their time is killed.

        A signal that comes in while this waits, Ctrl-C for the second time, ends the patience.
        """
        with noted_signals() as impatience:
            if self._process is not None and self.is_running:
                self._process.terminate()
                deadline_s = time.monotonic() + self._longest_stop_s()
                while self.is_running and time.monotonic() < deadline_s and not impatience:
                    time.sleep(POLL_S)
            end_marked(self._folder, patience_s=0)
            if self._process is not None:
                self._process.wait()

    def _longest_stop_s(self) -> int:
        """Stages stop one after the other, the programs of one stage together."""
        longest = dict.fromkeys(Stage, 0)
        for program in self._programs:
            longest[program.stage] = max(longest[program.stage], program.stop_wait_s)
        return sum(longest.values()) + STOP_SLACK_S

    def _configuration(self) -> str:
        sections = [
            _section(
                "supervisord",
                nodaemon="true",
                silent="true",
                # Paths are relative to the folder: supervisord expands some of them twice, "%" and all.
                logfile=self.log.relative_to(self._folder),
                logfile_maxbytes=LOG_MAX_BYTES,
                logfile_backups="1",
                pidfile="supervisord.pid",
                # Unasked, supervisord warns of running as root.
                **({"user": "root"} if os.geteuid() == 0 else {}),
            )
        ]
        for stage in Stage:
            members = [program for program in self._programs if program.stage is stage]
            if members:
                names = ",".join(program.name for program in members)
                sections.append(_section(f"group:{stage.name.lower()}", programs=names, priority=stage.value))
            sections += [self._program_section(program) for program in members]
        return "\n".join(sections)

    def _program_section(self, program: Program) -> str:
        variables = [f"{name}={value}" for name, value in program.environment.items()]
        return _section(
            f"program:{program.name}",
            # By env(1), not by an `environment` line: that one knows no way to write a quotation mark.
            command=shlex.join(bound_to_parent(("env", *variables, *program.command))),
            directory=ROOT,
            autorestart="true",
            # With a time in which a start can fail, supervisord would wait longer before each further try, and give
            # up in the end. Without one, a program that dies is started again within a second, however often.
            startsecs="0",
            stopsignal=program.stop_signal,
            stopwaitsecs=program.stop_wait_s,
            killasgroup="true",
            redirect_stderr="true",
            stdout_logfile=self.log_of(program.name).relative_to(self._folder),
            stdout_logfile_maxbytes=LOG_MAX_BYTES,
            stdout_logfile_backups="2",
        )


def _section(title: str, **values: object) -> str:
    """A section of the file.

    Raises:
        ValueError: a value would be cut off where supervisord sees the beginning of a comment.
    """
    lines = [f"[{title}]"]
    for name, value in values.items():
        written = str(value)
        if any(sign in written for sign in (" ;", " #", "\n")):
            raise ValueError(f"no folder here may have ' ;', ' #' or a line end in its name: {written}")
        lines.append(f"{name} = {written.replace('%', '%%')}")  # "%" alone would begin an expansion
    return "\n".join((*lines, ""))

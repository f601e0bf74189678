"""Redmine 5 on loopback: a ticket system that people use, with a project and the field that holds a key.

Needs Debian's packages redmine, redmine-sqlite and puma. Debian keeps an installation's state below /etc and /var;
here all of it lies in a folder of ours, and nothing of the machine's own is touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from fleetdx.failure import CannotGoOn
from fleetdx.servers.process import ServerProcess, die_with_parent

USER, PASSWORD = "fleetbot", "fleetbot-on-loopback"
PROJECT = "fleet-service"
_PROGRAM = Path("/usr/share/redmine")
_PATHS = "/usr/bin:/usr/local/bin:" + os.environ.get("PATH", "")

# Debian's own list reads the database's adapter from /etc; ours needs nothing there.
_GEMFILE = """\
eval_gemfile '/usr/share/redmine/Gemfile'
gem 'puma'
gem 'sqlite3'
"""
_DATABASE = """\
production:
  adapter: sqlite3
  database: {folder}/redmine.sqlite3
  timeout: 10000
"""
# The tag stands in the process's command line, by which the next run knows what an earlier one left behind.
_PUMA = """\
bind 'tcp://127.0.0.1:{port}'
environment 'production'
threads 1, 5
directory '/usr/share/redmine'
tag '{folder}'
"""

# In one process: each start of Rails takes seconds. Prints a key of the account for its REST interface.
_BOOTSTRAP = """\
ActiveRecord::Migration.verbose = false
ActiveRecord::Base.connection.execute('PRAGMA synchronous = OFF')  # some 200 transactions, each to the disk
ActiveRecord::Base.connection.migration_context.migrate
Rails.application.eager_load!
ActiveRecord::Base.descendants.each(&:reset_column_information)
Redmine::DefaultData::Loader.load('en')
Setting.rest_api_enabled = '1'
Setting.login_required = '1'
User.current = nil
user = User.new(firstname: 'Fleet', lastname: 'Bot', mail: '{user}@example.test', language: 'en')
user.login = '{user}'
user.password = user.password_confirmation = '{password}'
user.save!
project = Project.new(name: 'Fleet service', identifier: '{project}', is_public: false)
project.trackers = Tracker.all.to_a
project.enabled_module_names = %w(issue_tracking)
project.save!
role = Role.new(name: 'fleetdx', issues_visibility: 'all')
role.permissions = %i(view_issues add_issues edit_issues add_issue_notes)
role.save!
Tracker.all.each do |tracker|  # the role may open what others closed
  IssueStatus.all.to_a.permutation(2) do |old, new|
    WorkflowTransition.create!(role: role, tracker: tracker, old_status: old, new_status: new)
  end
end
Member.create!(project: project, principal: user, roles: [role])
every = {{ is_for_all: false, is_filter: true, trackers: Tracker.all.to_a, projects: [project] }}
IssueCustomField.create!(name: 'ExternalId', field_format: 'string', searchable: true, **every)
verdicts = ['confirmed', 'false alarm', 'no trouble found']
IssueCustomField.create!(name: 'Verdict', field_format: 'list', possible_values: verdicts, **every)
{{ 'text' => ['Cause', 'Root cause', 'Action', 'Parts'], 'float' => ['Downtime hours', 'Cost'],
  'string' => ['Failure mode', 'Currency'] }}.each do |format, names|
  names.each {{ |name| IssueCustomField.create!(name: name, field_format: format, **every) }}
end
puts user.api_key
"""


def installed() -> bool:
    """Whether Redmine with SQLite and puma stands on this machine."""
    if not (_PROGRAM / "Gemfile").exists() or _ruby("bundle") is None or _ruby("puma") is None:
        return False
    return any(Path("/usr/share/doc").glob("ruby-sqlite3"))


def _ruby(program: str) -> str | None:
    return shutil.which(program, path=_PATHS)


class RedmineServer(ServerProcess):
    """A Redmine whose state lies in ``folder``, made on first start; ``FileNotFoundError`` where Redmine is missing."""

    def __init__(self, folder: Path, port: int) -> None:
        puma = _ruby("puma")
        if not installed() or puma is None:
            raise FileNotFoundError("Redmine is not installed (apt install redmine redmine-sqlite puma)")
        self._home = folder.resolve()
        super().__init__("redmine", [puma, "-C", str(self._home / "puma.rb")], self._home, port, self._environment())

    @property
    def url(self) -> str:
        """Redmine's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_key(self) -> str:
        """The key of ``USER`` for the REST interface."""
        return (self._home / "api_key").read_text()

    def start(self, *, within: float = 180.0) -> None:
        """Make the database if there is none, and serve it."""
        for part in ("config", "files", "log", "tmp"):
            (self._home / part).mkdir(parents=True, exist_ok=True)
        (self._home / "puma.rb").write_text(_PUMA.format(folder=self._home, port=self.port))
        if not (self._home / "api_key").exists():
            self._make_database()
        super().start(within=within)

    def _make_database(self) -> None:
        (self._home / "redmine.sqlite3").unlink(missing_ok=True)
        (self._home / "Gemfile").write_text(_GEMFILE)
        (self._home / "config" / "database.yml").write_text(_DATABASE.format(folder=self._home))
        (self._home / "config" / "secret_key.txt").write_text(os.urandom(32).hex())
        script = self._home / "bootstrap.rb"
        script.write_text(_BOOTSTRAP.format(user=USER, password=PASSWORD, project=PROJECT))
        self._run("bundle", "install", "--local", "--quiet")
        printed = self._run("bundle", "exec", "rails", "runner", str(script))
        (self._home / "api_key").write_text(printed.splitlines()[-1])

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self._home),
            "PATH": _PATHS,
            "LANG": "C.UTF-8",
            "RAILS_ENV": "production",
            "BUNDLE_GEMFILE": str(self._home / "Gemfile"),
            "BUNDLE_SILENCE_ROOT_WARNING": "1",
            "BUNDLER_VERSION": "2.3.15",
            # Redmine looks below its own folder for an instance of this name, so the name climbs to the root first.
            "REDMINE_INSTANCE": "../../../.." + str(self._home),
        }

    def _run(self, program: str, *arguments: str) -> str:
        """Run a Ruby program on this Redmine and return what it prints. Raises ``CannotGoOn`` where it fails."""
        command = [_ruby(program) or program, *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=900, env=self._environment(), cwd=_PROGRAM,
            preexec_fn=die_with_parent,
        )  # fmt: skip
        if done.returncode != 0:
            raise CannotGoOn(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-500:]}")
        return done.stdout.strip()

"""Request Tracker 5 on loopback: a ticket system that people use, with a queue and the field that holds a key.

Needs Debian's packages request-tracker5, rt5-standalone and rt5-db-sqlite.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from fleetdx.failure import CannotGoOn
from fleetdx.servers.process import ServerProcess, die_with_parent

USER, PASSWORD = "fleetbot", "fleetbot-on-loopback"
QUEUE = "Fleet service"
_PROGRAM = Path("/usr/share/request-tracker5/libexec/rt-server")
_SETUP = "/usr/sbin/rt-setup-database-5"
_PATHS = "/usr/bin:/usr/local/bin:" + os.environ.get("PATH", "")

_CONFIGURATION = """\
Set($rtname, 'rt.test');
Set($Organization, 'rt.test');
Set($WebDomain, '127.0.0.1');
Set($WebPort, {port});
Set($WebPath, '');
Set($Timezone, 'UTC');
Set($DatabaseType, 'SQLite');
Set($DatabaseName, '{folder}/var/rt5.sqlite');
Set($LogToSyslog, undef);
Set($LogToSTDERR, 'warning');
Set($MailCommand, 'mbox');
Set($DevelMode, 0);
Set($BcryptCost, 4);
$MasonDataDir = '{folder}/mason';
$MasonSessionDir = '{folder}/sessions';
$VarPath = '{folder}/var';
1;
"""

# RT is configured by its environment. Not through plackup: that hides this folder from the process's command line, by
# which the next run would know what an earlier one left behind.
_SERVE = """\
use strict; use warnings;
use Plack::Runner;
$ENV{{RT_SITE_CONFIG}} = '{folder}/RT_SiteConfig.pm';
$ENV{{RT_SITE_CONFIG_DIR}} = '{folder}/conf.d';
my $application = do '{program}' or die $@ || $!;
my $runner = Plack::Runner->new(server => 'HTTP::Server::PSGI', env => 'deployment');
$runner->parse_options(@ARGV);
$runner->run($application);
"""

# Makes the queue, its fields (the key's, and those of an outcome), an account with the rights that docs/connectors.md
# asks for; prints a token of it.
_BOOTSTRAP = """\
use strict; use warnings;
use lib '/usr/share/request-tracker5/lib';
use RT -init;
my $system = RT->SystemUser;
sub done {{ my ($id, $message) = @_; die "$message\\n" unless $id; $id }}
my $user = RT::User->new($system);
done $user->Create(Name => '{user}', EmailAddress => '{user}@example.test', Password => '{password}', Privileged => 1);
my $queue = RT::Queue->new($system);
done $queue->Create(Name => '{queue}', CorrespondAddress => 'fleet@example.test', SLADisabled => 1);
for my $name ('ExternalId', 'Verdict', 'Cause', 'Root cause', 'Failure mode', 'Action', 'Parts', 'Downtime hours',
    'Cost', 'Currency') {{
    my $field = RT::CustomField->new($system);
    done $field->Create(
        Name => $name, Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket', MaxValues => 1,
    );
    done $field->AddToObject(RT::Queue->new($system));
}}
for my $right (qw(SeeQueue ShowTicket CreateTicket ModifyTicket SeeCustomField ModifyCustomField)) {{
    done $user->PrincipalObj->GrantRight(Right => $right, Object => $RT::System);
}}
my $token = RT::AuthToken->new($system);
my ($id, $message, $secret) = $token->Create(Owner => $user->id, Description => 'fleetdx');
done $id, $message;
print $secret;
"""


def installed() -> bool:
    """Whether RT with its stand-alone server and SQLite stands on this machine."""
    return _PROGRAM.exists() and Path(_SETUP).exists() and shutil.which("perl", path=_PATHS) is not None


class RtServer(ServerProcess):
    """An RT whose state lies in ``folder``, made on first start. Raises ``FileNotFoundError`` where RT is missing."""

    def __init__(self, folder: Path, port: int) -> None:
        perl = shutil.which("perl", path=_PATHS)
        if not installed() or perl is None:
            raise FileNotFoundError("Request Tracker 5 is not installed (apt install request-tracker5 rt5-standalone)")
        self._home = folder.resolve()
        self._perl = perl
        command = [
            perl, str(self._home / "serve.pl"), "--host", "127.0.0.1", "--port", str(port),
        ]  # fmt: skip
        super().__init__("rt", command, self._home, port)

    @property
    def url(self) -> str:
        """RT's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """An authentication token of ``USER``."""
        return (self._home / "token").read_text()

    def start(self, *, within: float = 60.0) -> None:
        """Make the database if there is none, and serve it."""
        for part in ("conf.d", "var", "mason", "sessions"):
            (self._home / part).mkdir(parents=True, exist_ok=True)
        # Both anew on each start: the port may be another.
        configuration = _CONFIGURATION.format(folder=self._home, port=self.port)
        (self._home / "RT_SiteConfig.pm").write_text(configuration)
        (self._home / "serve.pl").write_text(_SERVE.format(folder=self._home, program=_PROGRAM))
        if not (self._home / "token").exists():
            self._make_database()
        super().start(within=within)

    def _make_database(self) -> None:
        (self._home / "var" / "rt5.sqlite").unlink(missing_ok=True)
        self._run(_SETUP, "--action", "init", "--skip-create")
        script = self._home / "bootstrap.pl"
        script.write_text(_BOOTSTRAP.format(user=USER, password=PASSWORD, queue=QUEUE))
        token = self._run(str(script))
        (self._home / "token").write_text(token)

    def _run(self, *command: str) -> str:
        """Run a Perl program on this RT and return what it prints. Raises ``CannotGoOn`` where it fails."""
        environment = os.environ | {
            "RT_SITE_CONFIG": str(self._home / "RT_SiteConfig.pm"),
            "RT_SITE_CONFIG_DIR": str(self._home / "conf.d"),
        }
        done = subprocess.run(
            [self._perl, *command], capture_output=True, text=True, timeout=120, env=environment,
            preexec_fn=die_with_parent,
        )  # fmt: skip
        if done.returncode != 0:
            raise CannotGoOn(f"{command[0]}: {(done.stderr or done.stdout).strip()[-500:]}")
        return done.stdout.strip()

"""The tidegauge command: one verb per process or job."""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tidegauge.commands import keys
from tidegauge.commands.options import (
    AlertState,
    DashboardPort,
    DatabaseUrl,
    EndWithStdin,
    Format,
    GrpcPort,
    Host,
    HttpPort,
    Insecure,
    moment,
    settings,
)

if TYPE_CHECKING:
    from tidegauge.settings import Settings


class _Verbs(TyperGroup):
    """Turns expected errors of any verb into one line and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            from tidegauge.commands.errors import explain

            line = explain(error)
            if line is None:
                raise
            typer.echo(f"tidegauge: {line}", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_Verbs,
    no_args_is_help=True,
    add_completion=False,
    # Its tracebacks show local variables, and those hold prompts.
    pretty_exceptions_enable=False,
    help="Watch LLM traffic: take OpenTelemetry spans in, learn what is normal, say what moved.",
    epilog="Start with: tidegauge demo. Settings: TIDEGAUGE_* variables, see docs/settings.md.",
)
app.add_typer(keys.app, name="keys")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tidegauge {installed_version('tidegauge')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Carry the options of the command itself."""


@app.command(epilog="Example: tidegauge up --database-url sqlite:///tide.db --dashboard-port 8080")
def up(
    database_url: DatabaseUrl = None,
    host: Host = None,
    otlp_http_port: HttpPort = None,
    otlp_grpc_port: GrpcPort = None,
    dashboard_port: DashboardPort = None,
    insecure: Insecure = None,
) -> None:
    """Run collector, analyst and dashboard on this machine until Ctrl-C."""
    from tidegauge.policy import read_policy
    from tidegauge.store import migrate
    from tidegauge.up import up as run

    chosen = settings(
        database_url=database_url,
        host=host,
        otlp_http_port=otlp_http_port,
        otlp_grpc_port=otlp_grpc_port,
        dashboard_port=dashboard_port,
        insecure=insecure,
    )
    read_policy(chosen.policy_file)  # a bad one must stop the start, not the first look
    migrate.upgrade(chosen.database_url)
    run(chosen, typer.echo)


@app.command(epilog="Example: tidegauge demo --minutes 5 --keep --seed 11")
def demo(
    minutes: Annotated[
        float, typer.Option(min=0.5, help="Minutes of live traffic; the history comes before.")
    ] = 3.0,
    no_history: Annotated[
        bool,
        typer.Option(
            "--no-history",
            help="Live traffic only. Nothing is learned then, so no fault can be noticed.",
        ),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the data, and run on until Ctrl-C.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same traffic.")] = 7,
    host: Host = None,
    otlp_http_port: HttpPort = None,
    otlp_grpc_port: GrpcPort = None,
    dashboard_port: DashboardPort = None,
) -> None:
    """Watch Tidegauge notice three real faults in the live traffic of three simulated apps.

    Two weeks of history come first. Uses a database of its own, never yours.

    Exit code 0: all three were noticed, explained and delivered (with --no-history: the calls
    were stored); 1: not so; 2: it could not start; 130: stopped by Ctrl-C before the end.
    """
    from tidegauge.demo.run import Wish, run

    chosen = settings(
        host=host,
        otlp_http_port=otlp_http_port,
        otlp_grpc_port=otlp_grpc_port,
        dashboard_port=dashboard_port,
    )
    wish = Wish(minutes=minutes, history=not no_history, keep=keep, seed=seed)
    raise typer.Exit(run(chosen, wish))


@app.command(epilog="Example: tidegauge collect --database-url postgresql://tide@db/tide")
def collect(
    database_url: DatabaseUrl = None,
    host: Host = None,
    otlp_http_port: HttpPort = None,
    otlp_grpc_port: GrpcPort = None,
    insecure: Insecure = None,
    end_with_stdin: EndWithStdin = False,
) -> None:
    """Take OTLP spans in and store them; a request is acknowledged once it is committed."""
    _end_with_stdin(end_with_stdin)
    chosen = settings(
        database_url=database_url,
        host=host,
        otlp_http_port=otlp_http_port,
        otlp_grpc_port=otlp_grpc_port,
        insecure=insecure,
    )
    from collector.serve import serve

    serve(chosen)


@app.command(epilog="Example: tidegauge analyse --once --at 2026-11-23T05:10:00Z")
def analyse(
    database_url: DatabaseUrl = None,
    once: Annotated[
        bool, typer.Option("--once", help="Run every due job once, up to now, and exit.")
    ] = False,
    at: Annotated[
        str | None, typer.Option(help="With --once: act as if it were this time (ISO 8601).")
    ] = None,
    end_with_stdin: EndWithStdin = False,
) -> None:
    """Roll up, learn, detect, alert and deliver, on a schedule or once."""
    _end_with_stdin(end_with_stdin)
    chosen = settings(database_url=database_url)
    if at is not None and not once:
        raise typer.BadParameter("--at needs --once")
    if once:
        _analyse_once(chosen, at)
        return
    from analysis.schedule import serve

    serve(chosen)


def _analyse_once(chosen: Settings, at: str | None) -> None:
    from analysis.schedule import run_once
    from tidegauge import clock
    from tidegauge.policy import read_policy
    from tidegauge.store import migrate
    from tidegauge.store.engine import open_engine

    policy = read_policy(chosen.policy_file)
    now = clock.now()
    migrate.upgrade(chosen.database_url)
    engine = open_engine(chosen.database_url)
    done = run_once(engine, chosen, policy, moment(at, now) if at else now)
    for one in done:
        typer.echo(f"{one.job}: {one.error or f'ok, looked at {one.looked_at}'}")
    if any(one.error for one in done):
        raise typer.Exit(1)


@app.command(epilog="Example: tidegauge dashboard --dashboard-port 8080")
def dashboard(
    database_url: DatabaseUrl = None,
    host: Host = None,
    dashboard_port: DashboardPort = None,
    end_with_stdin: EndWithStdin = False,
) -> None:
    """Show what was measured, and take reviewers' verdicts."""
    _end_with_stdin(end_with_stdin)
    chosen = settings(database_url=database_url, host=host, dashboard_port=dashboard_port)
    from dashboard.serve import serve
    from tidegauge.store import migrate

    migrate.upgrade(chosen.database_url)
    serve(chosen)


@app.command(epilog="Example: tidegauge migrate --database-url sqlite:///tide.db")
def migrate(database_url: DatabaseUrl = None) -> None:
    """Bring the database's schema up to date; an empty database is set up."""
    from tidegauge.store import migrate as schema

    schema.upgrade(settings(database_url=database_url).database_url)
    typer.echo("The schema is up to date.")


@app.command(epilog="Example: tidegauge check --silent-after-min 30 || page-someone")
def check(
    database_url: DatabaseUrl = None,
    silent_after_min: Annotated[
        float, typer.Option(min=0, help="Minutes without a span after which it is not well.")
    ] = 60.0,
) -> None:
    """Say whether everything is well. Exit code 0: yes, 1: no, 2: it cannot be told."""
    from tidegauge import clock
    from tidegauge.commands import check as checks
    from tidegauge.commands.tables import console

    silent_after = timedelta(minutes=silent_after_min)
    answers = checks.check(settings(database_url=database_url), clock.now(), silent_after)
    checks.show(answers, console())
    raise typer.Exit(checks.exit_code(answers))


@app.command(epilog="Example: tidegauge calls --format jsonl --since 2h --service checkout-bot")
def calls(
    database_url: DatabaseUrl = None,
    output: Annotated[
        Format, typer.Option("--format", help="jsonl: the whole record, one object a line.")
    ] = Format.TABLE,
    since: Annotated[
        str | None, typer.Option(help="ISO 8601 time (UTC unless it says), or an age: 2h, 7d.")
    ] = None,
    service: Annotated[str | None, typer.Option(help="Only calls of this service.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many. The table shows the newest 50 by default."),
    ] = None,
    all_spans: Annotated[
        bool,
        typer.Option("--all", help="Also spans that are no calls, with why they do not count."),
    ] = False,
    project: Annotated[
        str | None, typer.Option(help="Project (TIDEGAUGE_PROJECT).", show_default=False)
    ] = None,
) -> None:
    """Print the stored model calls, oldest first."""
    from tidegauge import clock
    from tidegauge.commands import calls as rows
    from tidegauge.commands.settling import settle
    from tidegauge.commands.tables import console
    from tidegauge.store import migrate, spans
    from tidegauge.store.engine import open_engine, read

    chosen = settings(database_url=database_url, project=project)
    wanted = spans.Filter(
        since=moment(since, clock.now()) if since else None, service=service, all_spans=all_spans
    )
    migrate.upgrade(chosen.database_url)
    engine = open_engine(chosen.database_url, pool_size=1)
    settle(engine, chosen)
    if output is Format.JSONL:
        rows.print_jsonl(engine, chosen.project, wanted, limit)
        return
    with read(engine) as db:
        most = limit or rows.TABLE_ROWS
        newest = spans.calls(db, chosen.project, wanted, newest_first=True, limit=most)
    rows.print_table(reversed(newest), console())


@app.command(epilog="Example: tidegauge alerts --state firing --format jsonl")
def alerts(
    database_url: DatabaseUrl = None,
    output: Annotated[
        Format, typer.Option("--format", help="jsonl: everything, one object a line.")
    ] = Format.TABLE,
    state: Annotated[
        AlertState | None, typer.Option(help="Only alerts in this state.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 200,
) -> None:
    """Print the alerts, newest first."""
    from tidegauge.alert import State
    from tidegauge.commands import alerts as rows
    from tidegauge.commands.tables import console
    from tidegauge.store import alerts as store
    from tidegauge.store import migrate
    from tidegauge.store.engine import open_engine, read

    chosen = settings(database_url=database_url)
    migrate.upgrade(chosen.database_url)
    with read(open_engine(chosen.database_url, pool_size=1)) as db:
        found = store.list_alerts(db, State(state) if state else None, limit)
    if output is Format.JSONL:
        rows.print_jsonl(found)
    else:
        rows.print_table(found, console())


@app.command(epilog="Example: tidegauge ledger --since 7d --service checkout-bot")
def ledger(
    database_url: DatabaseUrl = None,
    output: Annotated[
        Format, typer.Option("--format", help="jsonl: everything, one object a source.")
    ] = Format.TABLE,
    since: Annotated[
        str, typer.Option(help="ISO 8601 time (UTC unless it says), or an age: 2h, 7d.")
    ] = "24h",
    service: Annotated[str | None, typer.Option(help="Only what this service sent.")] = None,
    project: Annotated[
        str | None, typer.Option(help="Project (TIDEGAUGE_PROJECT).", show_default=False)
    ] = None,
) -> None:
    """Print what became of the spans of each exporter: received, stored, duplicate, rejected, late.

    Counts are by hour, so the first hour is counted whole.
    """
    from tidegauge import clock
    from tidegauge.commands import signals

    now = clock.now()
    chosen = settings(database_url=database_url, project=project)
    signals.print_ledger(chosen, moment(since, now), now, service, jsonl=output is Format.JSONL)


@app.command(epilog="Example: tidegauge prices --since 30d --format jsonl")
def prices(
    database_url: DatabaseUrl = None,
    output: Annotated[
        Format, typer.Option("--format", help="jsonl: everything, one object a model.")
    ] = Format.TABLE,
    since: Annotated[
        str, typer.Option(help="ISO 8601 time (UTC unless it says), or an age: 2h, 7d.")
    ] = "7d",
    project: Annotated[
        str | None, typer.Option(help="Project (TIDEGAUGE_PROJECT).", show_default=False)
    ] = None,
) -> None:
    """Print what each model used costs, who says so, which have no price, and what apps say.

    Prices: the tables named prices in the policy file first, then the list of genai-prices.
    """
    from tidegauge import clock
    from tidegauge.commands import prices as rows

    now = clock.now()
    chosen = settings(database_url=database_url, project=project)
    rows.print_prices(chosen, moment(since, now), now, jsonl=output is Format.JSONL)


@app.command(epilog="Example: tidegauge audit --since 7d --service checkout-bot")
def audit(
    database_url: DatabaseUrl = None,
    output: Annotated[
        Format, typer.Option("--format", help="jsonl: everything, one object a group.")
    ] = Format.TABLE,
    since: Annotated[
        str, typer.Option(help="ISO 8601 time (UTC unless it says), or an age: 2h, 7d.")
    ] = "24h",
    service: Annotated[str | None, typer.Option(help="Only what this service sent.")] = None,
    fail_on_findings: Annotated[
        bool, typer.Option("--fail-on-findings", help="Exit code 1 where there is a problem.")
    ] = False,
    project: Annotated[
        str | None, typer.Option(help="Project (TIDEGAUGE_PROJECT).", show_default=False)
    ] = None,
) -> None:
    """Print what each instrumentation leaves out or gets wrong, and how to mend it in the app.

    By service, dialect, library and model, over what was received since. A problem (!) makes
    numbers wrong or hides them; the rest is good to know.
    """
    from tidegauge import clock
    from tidegauge.commands import audit as rows

    now = clock.now()
    chosen = settings(database_url=database_url, project=project)
    found = rows.print_audit(chosen, moment(since, now), now, service, jsonl=output is Format.JSONL)
    if found and fail_on_findings:
        raise typer.Exit(1)


@app.command("send-test", epilog="Example: tidegauge send-test --endpoint http://collector:4318")
def send_test(
    database_url: DatabaseUrl = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="Address of OTLP over HTTP (http://127.0.0.1:4318).", show_default=False),
    ] = None,
    grpc: Annotated[
        str | None,
        typer.Option(help="Address of OTLP over gRPC (127.0.0.1:4317).", show_default=False),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="API key to send with; OTEL_EXPORTER_OTLP_HEADERS works too.", show_default=False
        ),
    ] = None,
) -> None:
    """Send one known span through HTTP and one through gRPC, and show where each went.

    Exit code 0: both arrived; 1: one did not, with the step that failed and what to do.
    """
    from tidegauge import clock
    from tidegauge.commands import send_test as test
    from tidegauge.commands.tables import console

    trips = test.send(settings(database_url=database_url), endpoint, grpc, key, clock.now())
    test.show(trips, console())
    if not all(trip.arrived for trip in trips):
        raise typer.Exit(1)


def _end_with_stdin(wanted: bool) -> None:
    if wanted:
        from tidegauge.supervise import end_with_stdin

        end_with_stdin()

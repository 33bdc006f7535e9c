"""The consortium's rules as Pulumi's own analyzer: `pulumi up --policy-pack` refuses what a member adds to its site.

MemberSite judges its own objects before any is registered. A member's program may declare more beside it; those the
engine shows to this server, one by one, before they reach the cluster. The charter's facts come with the MemberSite.
https://github.com/pulumi/pulumi/blob/master/proto/pulumi/analyzer.proto
"""

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version

import grpc
from google.protobuf import empty_pb2
from pulumi.output import contains_unknowns
from pulumi.runtime import rpc
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2
from pydantic import TypeAdapter

from commonweal.site_policy import Facts, Severity, Violation, rules, violations
from infra.sites.member import FACTS, SITE_TYPE
from infra.sites.objects import Manifest
from infra.sites.plan import hidden

PACK = "commonweal-sites"
SEVERITIES = {
    Severity.CRITICAL: analyzer_pb2.POLICY_SEVERITY_CRITICAL,
    Severity.HIGH: analyzer_pb2.POLICY_SEVERITY_HIGH,
    Severity.MEDIUM: analyzer_pb2.POLICY_SEVERITY_MEDIUM,
}


@dataclass(eq=False)
class Analyzer(analyzer_pb2_grpc.AnalyzerServicer):
    """Judges every Kubernetes object of one run; before the MemberSite is seen, by the rules that need no facts."""

    facts: Facts = field(default_factory=Facts)
    seen: dict[str, Manifest] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def Analyze(  # noqa: N802  # the protocol's
        self, request: analyzer_pb2.AnalyzeRequest, context: grpc.ServicerContext
    ) -> analyzer_pb2.AnalyzeResponse:
        """Take one resource's inputs; answer with each breach that is new with it."""
        inputs = hidden(rpc.deserialize_properties(request.properties, keep_unknowns=True))
        if request.type == SITE_TYPE:
            self.facts = TypeAdapter(Facts).validate_python(inputs[FACTS])
        elif request.type.startswith("kubernetes:") and "kind" in inputs and not contains_unknowns(inputs):
            self.seen[request.urn] = inputs  # what a preview does not know yet is judged by the update
        try:
            found = violations(self.seen.values(), self.facts)
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        new = [each for each in found if each.sentence not in self.told]
        self.told.update(each.sentence for each in new)
        return analyzer_pb2.AnalyzeResponse(diagnostics=diagnostics(new, request.urn))

    def Remediate(  # noqa: N802
        self, _: analyzer_pb2.AnalyzeRequest, __: grpc.ServicerContext
    ) -> analyzer_pb2.RemediateResponse:
        """Nothing: a rule names the fix and leaves it to the member."""
        return analyzer_pb2.RemediateResponse()

    def AnalyzeStack(  # noqa: N802
        self, _: analyzer_pb2.AnalyzeStackRequest, __: grpc.ServicerContext
    ) -> analyzer_pb2.AnalyzeResponse:
        """Nothing: sums over a site are judged as they grow, before they are in the cluster."""
        return analyzer_pb2.AnalyzeResponse()

    def GetAnalyzerInfo(  # noqa: N802
        self, _: empty_pb2.Empty, __: grpc.ServicerContext
    ) -> analyzer_pb2.AnalyzerInfo:
        """The pack and the rules that are known before any charter is."""
        known = [
            analyzer_pb2.PolicyInfo(
                name=rule.id,
                displayName=rule.title,
                description=rule.title,
                message=rule.complaint,
                enforcementLevel=analyzer_pb2.MANDATORY,
                severity=SEVERITIES[rule.severity],
            )
            for rule in rules(self.facts)
        ]
        return analyzer_pb2.AnalyzerInfo(name=PACK, displayName=PACK, policies=known, version=version("commonweal"))

    def GetPluginInfo(  # noqa: N802
        self, _: empty_pb2.Empty, __: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        """Our version."""
        return plugin_pb2.PluginInfo(version=version("commonweal"))

    def Handshake(  # noqa: N802
        self, _: analyzer_pb2.AnalyzerHandshakeRequest, __: grpc.ServicerContext
    ) -> analyzer_pb2.AnalyzerHandshakeResponse:
        """Agree: nothing is asked of the engine."""
        return analyzer_pb2.AnalyzerHandshakeResponse()

    def ConfigureStack(  # noqa: N802
        self, _: analyzer_pb2.AnalyzerStackConfigureRequest, __: grpc.ServicerContext
    ) -> analyzer_pb2.AnalyzerStackConfigureResponse:
        """Begin a run: nothing of an earlier one counts."""
        self.seen.clear()
        self.told.clear()
        return analyzer_pb2.AnalyzerStackConfigureResponse()


def diagnostics(found: Iterable[Violation], urn: str) -> list[analyzer_pb2.AnalyzeDiagnostic]:
    """Breaches as the engine takes them, all of them mandatory."""
    return [
        analyzer_pb2.AnalyzeDiagnostic(
            policyName=each.rule.id,
            policyPackName=PACK,
            policyPackVersion=version("commonweal"),
            description=each.rule.title,
            message=each.sentence,
            enforcementLevel=analyzer_pb2.MANDATORY,
            severity=SEVERITIES[each.rule.severity],
            urn=urn,
        )
        for each in found
    ]


def serve(analyzer: Analyzer) -> tuple[grpc.Server, int]:
    """Serve on a free port of loopback; returns the server, which runs, and its port."""
    server = grpc.server(ThreadPoolExecutor(max_workers=1))  # one by one: each verdict depends on those before it
    analyzer_pb2_grpc.add_AnalyzerServicer_to_server(analyzer, server)
    port: int = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main() -> None:
    """Serve, and say where on standard output, as Pulumi's plugins do."""
    server, port = serve(Analyzer())
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):  # by which the engine ends its plugins
        server.wait_for_termination()
    server.stop(grace=None)


if __name__ == "__main__":
    main()

// One trace with a log, through OpenTelemetry's own exporters; prints the trace's id. OTEL_* says where to and how.
const api = require("@opentelemetry/api");
const { logs, SeverityNumber } = require("@opentelemetry/api-logs");
const { NodeSDK } = require("@opentelemetry/sdk-node");

api.diag.setLogger(new api.DiagConsoleLogger(), api.DiagLogLevel.WARN);
const sdk = new NodeSDK();
sdk.start();
const tracer = api.trace.getTracer("tests", "1.0");
const attributes = { s: "é", cut: "😀".slice(0, 1), i: 2 ** 40, f: 1.5, b: true, list: ["a", "b"], numbers: [1, 2.5] };
tracer.startActiveSpan("outer", { kind: api.SpanKind.SERVER, attributes }, (outer) => {
  const link = { context: outer.spanContext(), attributes: { k: 1 } };
  tracer.startActiveSpan("inner", { links: [link] }, (inner) => inner.end());
  logs.getLogger("tests").emit({
    timestamp: new Date(5),
    severityNumber: SeverityNumber.WARN,
    body: { k: [1, "é"] },
    attributes: { bytes: new Uint8Array([255, 0]), none: null, map: { x: [1] } },
    eventName: "e",
  });
  outer.recordException(new TypeError("no"));
  outer.setStatus({ code: api.SpanStatusCode.ERROR, message: "no" });
  outer.end();
  console.log(outer.spanContext().traceId);
});
sdk.shutdown();

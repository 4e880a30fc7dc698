"""redis-py on real servers: what a program can see is as it is bare; in a trace, each command is a span."""

from __future__ import annotations

import textwrap

import pytest

from . import servers
from .conftest import CLIENT, Runner

BEGIN = """
import asyncio, os, sys
import redis, redis.asyncio
PORT = int(os.environ["REDIS"])
"""
TRACED = """
if "aftertrace._native" in sys.modules:
    from aftertrace import _native as _n
    _n.attach(_n.Span("all"))
"""

SAME = {
    "looks, errors with their tracebacks": """
        import inspect, pickle, traceback
        for kind, names in ((redis.Redis, ["execute_command"]),
                            (redis.client.Pipeline, ["execute", "immediate_execute_command"]),
                            (redis.asyncio.Redis, ["execute_command"]), (redis.asyncio.client.Pipeline, ["execute"]),
                            (redis.RedisCluster, ["execute_command"]), (redis.cluster.ClusterPipeline, ["execute"])):
            for name in names:
                f = getattr(kind, name)
                print(f.__name__, f.__qualname__, f.__module__, f.__doc__, inspect.signature(f), type(f))
                print(inspect.iscoroutinefunction(f), pickle.loads(pickle.dumps(f)) is f)
        def attempt(act):
            try: print(act())
            except BaseException: traceback.print_exc()
        c = redis.Redis(port=PORT, retry=None)
        c.flushdb()
        attempt(lambda: c.set("a", "x"))
        attempt(lambda: c.lpush("a", 1))
        attempt(lambda: c.execute_command("NONSENSE", 1))
        attempt(lambda: c.execute_command())
        attempt(lambda: c.execute_command(7))
        attempt(lambda: c.set("a", {}))
        attempt(lambda: c.evalsha("0" * 40, 0))
        attempt(lambda: c.eval("return redis.error_reply('OWN of ours')", 0))
        attempt(lambda: c.blpop("nothing", timeout=0.01))
        def piped(*acts, **more):
            with c.pipeline(**more) as pipe:
                for act in acts: act(pipe)
                return pipe.execute()
        attempt(lambda: piped(lambda p: p.set("a", 1), lambda p: p.lpush("a", 1)))
        attempt(lambda: piped(lambda p: p.get("a"), lambda p: p.lpush("a", 1), transaction=False))
        attempt(lambda: piped(lambda p: p.nonsense()))
        def watched(pipe):
            pipe.watch("a"); c.set("a", 2); pipe.multi(); pipe.get("a")
        attempt(lambda: piped(watched))
        attempt(lambda: piped())
        attempt(lambda: c.transaction(lambda p: p.multi() or p.set("b", 1), "a"))
        script = c.register_script("return KEYS[1]"); attempt(lambda: script(keys=["k"]))
        attempt(lambda: redis.Redis(port=1, password="secret", retry=None).ping())
        hasty = redis.Redis(host="127.0.0.1", port=PORT, socket_timeout=0.05, retry=None)
        attempt(lambda: hasty.blpop("nothing", timeout=20))
        with c.lock("lock", timeout=5): pass
        c.close()
        attempt(lambda: c.get("a"))
    """,
    "asynchronous ones": """
        import traceback
        async def attempt(work):
            try: print(await work)
            except BaseException: traceback.print_exc()
        async def limited(seconds, work):
            async with asyncio.timeout(seconds): await work
        async def main():
            async with redis.asyncio.Redis(port=PORT, retry=None) as c:
                await attempt(c.set("a", "x"))
                await attempt(c.lpush("a", 1))
                await attempt(c.execute_command("NONSENSE", 1))
                await attempt(c.set("a", {}))
                async with c.pipeline() as pipe: await attempt(pipe.set("a", 1).lpush("a", 1).execute())
                async with c.pipeline() as pipe:
                    await attempt(pipe.watch("a")); await attempt(pipe.get("a"))
                    pipe.multi(); await attempt(pipe.set("a", 2).execute())
                await attempt(limited(0.05, c.blpop("nothing", timeout=20)))
                task = asyncio.create_task(c.blpop("nothing", timeout=20)); await asyncio.sleep(0.05); task.cancel()
                try: await task
                except asyncio.CancelledError as e: print(type(e), task.cancelled())
                await attempt(c.get("a"))
            await attempt(redis.asyncio.Redis(port=1, retry=None).ping())
            unawaited = redis.asyncio.Redis(port=PORT).get("a")
            print(type(unawaited), unawaited.__qualname__); unawaited.close()
        asyncio.run(main())
    """,
    "kinds of its own, and nothing held": """
        import weakref
        class Mine(redis.Redis):
            def execute_command(self, *args, **options):
                print("mine", args); return super().execute_command(*args, **options)
            def __eq__(self, other): raise SystemExit("asked")
            __hash__ = None
        class Text(str):
            def __hash__(self): raise SystemExit("asked")
            def split(self, *args): raise SystemExit("asked")
        class Name(str):
            def upper(self): raise SystemExit("asked")
        c = Mine(port=PORT)
        print(c.set("k", "v"), c.execute_command("GET", Text("k")), c.mget("k", "l"))
        c = redis.Redis(port=PORT)
        print(c.set("big", "x" * 3_000_000), len(c.get("big")))
        with c.pipeline() as pipe:
            for n in range(3000): pipe.set(f"key {n}", n)
            print(len(pipe.execute()))
        key, value = "key " * 100, "value " * 100
        for _ in range(50):
            c.set(key, value); c.get(key)
            try: c.lpush(key, value)
            except redis.ResponseError: pass
        print(sys.getrefcount(key), sys.getrefcount(value))
        gone = weakref.ref(c); c.close(); del c
        print(gone())
    """,
}


@pytest.mark.parametrize("name", SAME)
def test_a_program_sees_no_difference(runner: Runner, redis: int, name: str):
    ran = runner.same(BEGIN + TRACED + textwrap.dedent(SAME[name]), REDIS=str(redis))
    assert all(span.ended for span in ran.recorded.of(CLIENT))
    assert "secret" not in repr([span.attributes for span in ran.recorded.spans])


def test_each_command_is_one_span(runner: Runner, redis: int):
    ran = runner.good(
        BEGIN
        + """
from aftertrace import _native
client = redis.Redis(port=PORT, db=3)
client.set("secret-quiet", 1)
outer = _native.Span("all"); token = _native.attach(outer)
client.set("secret-key", "secret-value", ex=100)
client.hset("secret-hash", mapping={f"secret-{n}": n for n in range(20)})
client.execute_command("CONFIG", "GET", "maxmemory")
client.config_get("secret")
client.execute_command("SET secret-a secret-b")
client.execute_command(b"get", b"secret")
with client.pipeline() as pipe: pipe.set("secret-1", 1).get("secret-1").execute()
with client.pipeline(transaction=False) as pipe: pipe.get("secret-1").get("secret-2").execute()
with client.pipeline() as pipe:
    pipe.watch("secret-1"); pipe.get("secret-1"); pipe.multi(); pipe.set("secret-1", 2); pipe.execute()
client.pipeline().execute()
try: client.lpush("secret-key", 1)
except redis.ResponseError: pass
with client.pipeline(transaction=False) as pipe:
    for n in range(100): pipe.get("secret")
    pipe.execute()
async def main():
    async with redis.asyncio.Redis(port=PORT, db=3) as later:
        await later.get("secret-key")
        async with later.pipeline() as pipe: await pipe.set("secret-1", 1).get("secret-1").execute()
        try: await asyncio.wait_for(later.blpop("secret", timeout=20), 0.05)
        except TimeoutError: pass
asyncio.run(main())
assert _native.current() is outer
_native.detach(token)
""",
        REDIS=str(redis),
    )
    found = ran.recorded
    spans = found.of(CLIENT)
    told = [(s.name, s.attributes["db.query.text"], s.attributes.get("db.operation.batch.size")) for s in spans]
    assert told == [
        ("SET", "SET ? ? ? ?", None),
        ("HSET", "HSET ? ? ? ? ? ? ? ? ...", None),
        ("CONFIG GET", "CONFIG GET ?", None),
        ("CONFIG GET", "CONFIG GET ?", None),
        ("SET", "SET", None),
        ("GET", "GET ?", None),
        ("MULTI", "SET ? ?; GET ?", 2),
        ("PIPELINE GET", "GET ?", 2),
        ("WATCH", "WATCH ?", None),
        ("GET", "GET ?", None),
        ("MULTI SET", "SET ? ?", None),
        ("LPUSH", "LPUSH ? ?", None),
        ("PIPELINE", "; ".join(["GET ?"] * 16) + "; ...", 100),
        ("GET", "GET ?", None),
        ("MULTI", "SET ? ?; GET ?", 2),
        ("BLPOP", "BLPOP ? ?", None),
    ]
    for span in spans:
        assert span.ended
        assert span.parent == found.named("all")[0].id
        assert span.attributes["db.operation.name"] == span.name
        where = ("db.system.name", "server.address", "server.port", "db.namespace")
        assert [span.attributes[name] for name in where] == ["redis", "localhost", redis, "3"]
    failed = [s for s in spans if s.status]
    assert [(s.name, s.attributes["error.type"], s.attributes["db.response.status_code"]) for s in failed] == [
        ("LPUSH", "ResponseError", "WRONGTYPE")
    ]
    assert "secret" not in repr([(span.name, span.attributes) for span in spans])


def test_clusters(runner: Runner):
    with servers.redis("--cluster-enabled", "yes", "--cluster-port", str(servers.free_port())) as port:
        ran = runner.good(
            BEGIN
            + """
import redis.asyncio.cluster
from redis.backoff import NoBackoff
from aftertrace import _native
node = redis.Redis(port=PORT)
node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
while node.cluster("INFO")["cluster_state"] != "ok": pass
client = redis.RedisCluster(host="127.0.0.1", port=PORT)
_native.attach(_native.Span("all", 1, None))
client.set("a", 1)
with client.pipeline() as pipe: pipe.get("a"); pipe.get("b"); pipe.execute()
async def main():
    async with redis.asyncio.cluster.RedisCluster(host="127.0.0.1", port=PORT) as later:
        await later.initialize()
        _native.attach(_native.Span("later", 1, None))
        await later.get("a")
        async with later.pipeline() as pipe: await pipe.get("a").get("b").execute()
asyncio.run(main())
""",
            REDIS=str(port),
        )
    names = {span.id: span.name for span in ran.recorded.spans}
    seen = [(names[s.parent], s.name, s.attributes["db.query.text"]) for s in ran.recorded.of(CLIENT)]
    inner = {"CLUSTER SLOTS", "CLUSTER SHARDS", "COMMAND", "INFO"}  # what it asks about the nodes
    assert [told for told in seen if told[1] not in inner] == [
        ("all", "SET", "SET ? ?"),
        ("all", "PIPELINE GET", "GET ?"),
        ("later", "GET", "GET ?"),
        ("later", "PIPELINE GET", "GET ?"),
    ]


def test_no_second_span_where_opentelemetry_has_one_or_wants_none(runner: Runner, redis: int):
    ran = runner.good(
        BEGIN
        + """
from aftertrace import _native
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
def under(name): return _native.attach(_native.Span(name, 1, None))
c = redis.Redis(port=PORT)
def work():
    c.get("a")
    with c.pipeline() as pipe: pipe.get("a").get("b").execute()
    async def main():
        async with redis.asyncio.Redis(port=PORT) as later: await later.get("a")
    asyncio.run(main())
under("suppressed")
with suppress_instrumentation(): work()
RedisInstrumentor().instrument()
under("contrib"); work()
RedisInstrumentor().uninstrument()
under("ours again"); work()
""",
        REDIS=str(redis),
    )
    names = {span.id: span.name for span in ran.recorded.spans}
    seen = [(names[s.parent], s.scope) for s in ran.recorded.of(CLIENT)]
    assert seen == [("contrib", "opentelemetry.instrumentation.redis")] * 3 + [("ours again", "aftertrace.redis")] * 3

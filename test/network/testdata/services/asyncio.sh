# A server and $2 connections at once, in two processes.
prog=$(cat <<'C'
import asyncio, resource, subprocess, sys

port, n = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (n + 100, n + 100))

async def serve(r, w):
    while line := await r.readline():
        w.write(line.upper())
        await w.drain()
    w.close()

async def ask(i, ready, go):
    r, w = await asyncio.open_connection("127.0.0.1", port)
    ready.release()
    await go.wait()  # all are connected
    for turn in range(3):
        w.write(b"client %d turn %d\n" % (i, turn))
        assert await r.readline() == b"CLIENT %d TURN %d\n" % (i, turn)
    w.close()
    await w.wait_closed()
    return 1

async def clients():
    ready, go = asyncio.Semaphore(0), asyncio.Event()
    all = [asyncio.create_task(ask(i, ready, go)) for i in range(n)]
    for _ in range(n):
        await ready.acquire()
    go.set()
    print(sum(await asyncio.gather(*all)), "of", n)

async def main():
    s = await asyncio.start_server(serve, "127.0.0.1", port, backlog=n)
    p = await asyncio.create_subprocess_exec(sys.executable, "-c", sys.argv[3], str(port), str(n))
    await p.wait()
    s.close()

asyncio.run(main() if len(sys.argv) > 3 else clients())
C
)
exec python3 -c "$prog" "$1" "$2" "$prog"

"""A sequential relay: passes on what comes for PORT to this machine's sshd, each byte so many seconds late. Run on a host."""

import asyncio
import sys

PORT, LATE = int(sys.argv[1]), float(sys.argv[2])


async def pass_on(reader, writer):
    """Pass bytes on, in order, each LATE seconds after it came; then the end."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue()

    async def late():
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0, due - loop.time()))
            if not data:
                writer.close()
                return
            writer.write(data)

    writing = asyncio.create_task(late())
    while True:
        try:
            data = await reader.read(65536)
        except OSError:
            data = b""
        queue.put_nowait((loop.time() + LATE, data))
        if not data:
            break
    await writing


async def connection(reader, writer):
    back, forth = await asyncio.open_connection("127.0.0.1", 22)
    await asyncio.gather(pass_on(reader, forth), pass_on(back, writer), return_exceptions=True)


async def main():
    server = await asyncio.start_server(connection, "0.0.0.0", PORT)
    await server.serve_forever()


asyncio.run(main())

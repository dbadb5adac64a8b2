"""An ssh server for a simulated machine: clients with the one key run commands as the user who started it.

Run as ``python sshd.py "ssh-ed25519 AAAA..."``. OpenSSH's server is not on every machine that tests run on, and
asyncssh serves OpenSSH's client, with shared connections as Ray uses them. It opens no terminal (``-tt`` is accepted,
but commands get pipes), which suffices for ``ray up``.
"""

from __future__ import annotations

import asyncio
import os
import sys

import asyncssh

PORT = 22
# A daemon that a command starts may hold its output open forever; the command's own output is received by then.
DRAIN_S = 0.3


async def run_command(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run the client's command with bash, forward its input and outputs, and return its exit status."""
    child = await asyncio.create_subprocess_exec(
        "/bin/bash", "-c", process.command or "true",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    feeding = asyncio.create_task(feed(process, child.stdin))
    outputs = [
        asyncio.create_task(copy(child.stdout, process.stdout)),
        asyncio.create_task(copy(child.stderr, process.stderr)),
    ]
    status = await child.wait()
    await asyncio.wait(outputs, timeout=DRAIN_S)
    for task in (feeding, *outputs):
        task.cancel()
    process.exit(status if status >= 0 else 128 - status)


async def feed(process: asyncssh.SSHServerProcess[bytes], stdin: asyncio.StreamWriter) -> None:
    """Forward the client's input until its end."""
    while data := await process.stdin.read(1 << 16):
        stdin.write(data)
        await stdin.drain()
    stdin.close()


async def copy(source: asyncio.StreamReader, target: asyncssh.SSHWriter[bytes]) -> None:
    """Forward a stream of the command until its end."""
    while data := await source.read(1 << 16):
        target.write(data)
        await target.drain()


async def serve(public_key: str) -> None:
    """Serve on every address of this machine until the process is terminated."""
    server = await asyncssh.listen(
        "",
        PORT,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        authorized_client_keys=asyncssh.import_authorized_keys(public_key),
        process_factory=run_command,
        encoding=None,
        line_editor=False,
    )
    print(f"pid {os.getpid()} serves ssh on port {PORT}", flush=True)
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))

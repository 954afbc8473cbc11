"""A service on a free port of this process, for tests that ask it as clients do."""

import threading
import time
from contextlib import contextmanager

import httpx
import uvicorn

from yolo.serve.http.server import listening_socket, server_config


@contextmanager
def served(app):
    """Yield an httpx.Client of the application, which a thread runs; it ends as the service ends."""
    bound = listening_socket("127.0.0.1", 0)
    server = uvicorn.Server(server_config(app))
    app.state.stopping = lambda: server.should_exit
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    try:
        host, port = bound.getsockname()[:2]
        with httpx.Client(base_url=f"http://{host}:{port}", timeout=20, trust_env=False) as client:
            end = time.monotonic() + 20
            while not (server.started and client.get("/ready").status_code == 200):
                assert time.monotonic() < end, "the service is not ready"
                time.sleep(0.01)
            yield client
    finally:
        server.should_exit = True
        thread.join()

"""A reverse proxy on this machine that shows a server's page under a path, as nginx does on a public machine."""

import threading
import time

import anyio
import httpx
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send


class ReverseProxy:
    """What is asked for under `path` is asked of `target` without it; all else is not found."""

    def __init__(self, target: str, path: str, port: int) -> None:
        self._target = target.rstrip("/")
        self._path = path
        self._port = port
        config = uvicorn.Config(self._answer, port=port, interface="asgi3", lifespan="off", log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self.url = f"http://127.0.0.1:{port}{path}/"

    def __enter__(self) -> "ReverseProxy":
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.force_exit = self._server.should_exit = True
        self._thread.join()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if not request.url.path.startswith(f"{self._path}/"):
            response: Response = PlainTextResponse("not found", 404)
            await response(scope, receive, send)
            return
        client = httpx.AsyncClient(timeout=None, trust_env=False)
        try:
            url = self._target + request.url.path.removeprefix(self._path)
            headers = request.headers.raw
            body = await request.body()
            asked = client.build_request(
                request.method, url, params=request.query_params, headers=headers, content=body
            )
            answered = await client.send(asked, stream=True)
            response = StreamingResponse(answered.aiter_raw(), answered.status_code)
            response.raw_headers = [(k.lower(), v) for k, v in answered.headers.raw if k.lower() != b"content-length"]
            await response(scope, receive, send)
        finally:  # also where the browser has gone and this task is cancelled: then the server shall know of it
            with anyio.CancelScope(shield=True):
                await client.aclose()

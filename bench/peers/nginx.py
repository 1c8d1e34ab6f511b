"""nginx, twice: the fast upstream that every gateway forwards to, and a plain reverse proxy as a peer of ours.

Both are rendered here as configuration text (pure) and started by `bench.gateway` with one worker each.
"""

from pathlib import Path

_COMMON = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  # A connection stays open for the whole measurement, in both directions.
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  client_max_body_size 32m;
  client_body_buffer_size 64k;
  client_body_temp_path {folder}/client;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{http}
}}
"""


def upstream_configuration(*, folder: Path, port: int, answer: str) -> str:
    """A server that answers every request with the same JSON text, from memory."""
    http = f"""\
  server {{
    listen 127.0.0.1:{port};
    location / {{ default_type application/json; return 200 '{answer}'; }}
  }}"""
    return _COMMON.format(folder=folder, http=http)


def proxy_configuration(*, folder: Path, port: int, upstream_port: int) -> str:
    """A reverse proxy as one would set it up for streams: keep-alive to the upstream, answers not buffered."""
    http = f"""\
  upstream engine {{
    server 127.0.0.1:{upstream_port};
    keepalive 64;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}"""
    return _COMMON.format(folder=folder, http=http)


def command(program: Path, configuration: str, folder: Path) -> tuple[str, ...]:
    """Write the configuration into `folder` and return what starts it."""
    path = folder / "nginx.conf"
    path.write_text(configuration)
    return (str(program), "-e", str(folder / "error.log"), "-c", str(path))

"""vLLM in an image of its own: Berth's process 1 around it, and Berth's HTTP in front of it.

`supervisor` starts vLLM's OpenAI server and owns signals and the end; `middleware` runs inside of that server as the
outermost ASGI layer and owns what clients see. They talk by `link`. Nothing here imports vLLM.
"""

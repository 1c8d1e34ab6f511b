"""vLLM in an image of its own: Berth's process 1 around it, and Berth's HTTP in front of it.

`supervisor` starts vLLM's OpenAI server and owns signals and the end; `middleware` runs inside of that server as the
outermost ASGI layer and owns what clients see. They talk by `link`. Where several pods compute as one vLLM, `head` and
`member` are process 1 of each, tied by `assembly` and `tether`. Nothing here imports vLLM but `headless`, in a process
of its own.
"""

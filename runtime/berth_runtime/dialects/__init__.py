"""Chats in the words of other APIs, as values: OpenAI's Responses and Anthropic's Messages; pure.

A request becomes the body of a chat (`Translation`), which is then checked and answered as any other, by every engine
that chats. What the engine says of it is written in the API's own form, as it comes. `berth_runtime.routes` and
`berth_runtime.vllm` serve them. A further API is a module that translates, a form beside it, a line in `table`.
"""

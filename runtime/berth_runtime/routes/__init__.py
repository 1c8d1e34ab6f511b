"""The addresses that this process serves: a thin layer between aiohttp and the values of `berth_runtime.openai`."""

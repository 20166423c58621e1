"""The bot process: one asyncio loop with aiogram's updates, the delivery loop and the live streams."""

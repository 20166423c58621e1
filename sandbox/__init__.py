"""Development doubles: a Bot API, a phone to chat with the bot, an inbox for codes. Never part of production."""

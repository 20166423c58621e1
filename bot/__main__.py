"""`python -m bot`: on our own store, or for a hosted site."""

import gc

from gateway.bootstrap import need_port, start_process
from gateway.local import LocalGateway


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    config, gateway = start_process("bot")
    need_port("bot", config.host, config.live_port)
    if isinstance(gateway, LocalGateway):
        gc.disable()  # what aiogram makes stays, and looking at it is an eighth of the start
        from bot.app import BotProcess
        from bot.serving import run_and_leave
        from bot.worker import run

        run_and_leave(run(BotProcess, config, gateway))
    else:
        from bot import hosted
        from bot.serving import run_and_leave

        gateway.close()  # its client blocks; the streams have one of their own
        run_and_leave(hosted.run(config))


if __name__ == "__main__":
    main()

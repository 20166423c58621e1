"""`python -m bot`: on our own store, or for a hosted site."""

import gc

from gateway.bootstrap import need_port, start_process
from gateway.local import LocalGateway
from gateway.misspelt import warn_of_misspelt


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    config, gateway = start_process("bot")
    warn_of_misspelt()
    need_port("bot", config.host, config.live_port)
    if isinstance(gateway, LocalGateway):
        gc.disable()  # what aiogram makes stays, and looking at it is an eighth of the start
        from bot.app import BotProcess
        from bot.worker import run

        process = run(BotProcess, config, gateway)
    else:
        from bot import hosted

        gateway.close()  # its client blocks; the streams have one of their own
        process = hosted.run(config, gateway.metrics)
    from bot.serving import run_and_leave

    run_and_leave(process)


if __name__ == "__main__":
    main()

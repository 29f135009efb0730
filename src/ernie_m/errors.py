"""Errors meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can put right; printed without a traceback.

    ``what`` is one sentence that names the file, line or key at fault; ``fix`` is one sentence
    that says what to do about it.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}\n  -> {fix}")
        self.what = what
        self.fix = fix

"""The widget: a contact, a channel, a code. Every step is a plain page and a plain form; the script only smooths.

What a step must know of the one before travels in a signed token, `w`, in the address or the form: no cookie,
so that a frame works where third-party cookies are blocked, and reloading or going back is harmless.
"""

from web.widget.state import Widget, this_widget
from web.widget.steps import way_on, widget

__all__ = ["Widget", "this_widget", "way_on", "widget"]

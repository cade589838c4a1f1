"""Prompts for one line and for several, where a newline at the end means different things."""

from rolecall.service import Prompted, Service

service = Service("mail", description="For tests.")
relay = service.role("relay", description="x")
word = relay.var("smtp", Prompted("password", "x"))
text = relay.var("text", Prompted("text", "x", "multiline"))

"""Mail as people speak of it, on top of the methods of RFC 8621."""

from veredus.client.mail.compose import Draft as Draft
from veredus.client.mail.emails import Emails as Emails
from veredus.client.mail.emails import NotFound as NotFound
from veredus.client.mail.mail import Mail as Mail
from veredus.client.mail.search import Search as Search

"""Streams of resources that not every user, number or account has.

If one is missing (404), or the account may not see it (403), that is normal: see `tap_aircall.streams.kinds`.
"""

from __future__ import annotations

from typing import ClassVar

from tap_aircall.streams.directory import Numbers, Users
from tap_aircall.streams.kinds import OptionalList, OptionalOwnedStream, OwnedObject, OwnedOpenObject, OwnedTokenList


class DialerCampaigns(OwnedObject):
    """The campaign that a user works through with the power dialer."""

    name = "dialer_campaigns"
    cost = "one per user, once a day"
    primary_keys = ("id",)
    path = "/v1/users/{}/dialer_campaign"
    envelope = "dialer_campaign"
    owners = Users
    owner_key = "user_id"


class DialerCampaignPhoneNumbers(OptionalOwnedStream):
    """The phone numbers of a user's campaign. It works whether the list has pages or not, which is not known."""

    name = "dialer_campaign_phone_numbers"
    cost = "one per user, and one more per 50 phone numbers, once a day"
    primary_keys = ("user_id", "number")
    path = "/v1/users/{}/dialer_campaign/phone_numbers"
    envelope = "numbers"
    owners = Users
    owner_key = "user_id"


class NumberRegistrationStatuses(OwnedOpenObject):
    """Whether a number is registered as its country requires."""

    name = "number_registration_statuses"
    cost = "one per number, once a day"
    primary_keys = ("number_id",)
    path = "/v1/numbers/{}/registration_status"
    envelope = "registration_status"
    owners = Numbers
    owner_key = "number_id"


class NumberMessageConfigurations(OwnedOpenObject):
    """Where messages to a number are sent; the token in them never leaves the tap."""

    name = "number_message_configurations"
    cost = "one per number, once a day"
    primary_keys = ("number_id",)
    path = "/v1/numbers/{}/messages/configuration"
    envelope = "configuration"
    owners = Numbers
    owner_key = "number_id"
    secret_fields: ClassVar = frozenset({"token"})


class NumberWhatsappStatuses(OwnedObject):
    """What a number may do on WhatsApp."""

    name = "number_whatsapp_statuses"
    cost = "one per number, once a day"
    primary_keys = ("number_id",)
    path = "/v1/numbers/{}/whatsapp_status"
    envelope = "whatsapp_status"
    owners = Numbers
    owner_key = "number_id"


class WhatsappTemplates(OwnedTokenList):
    """Message templates for WhatsApp, behind a token rather than on numbered pages."""

    name = "whatsapp_templates"
    cost = "one per number and ten templates, once a day"
    primary_keys = ("number_id", "id")
    path = "/v1/numbers/{}/templates"
    envelope = "templates"
    owners = Numbers
    owner_key = "number_id"


class SmsTemplates(OptionalList):
    """Message templates for SMS; the one list with up to a hundred records on a page."""

    name = "sms_templates"
    cost = "one per 100"
    path = "/v1/sms/templates"
    envelope = "templates"
    page_size = 100

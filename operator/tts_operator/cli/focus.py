"""Rows of a bill in the columns of FOCUS 1.2 (https://focus.finops.org), the FinOps specification of billing data.

Columns that FOCUS does not have begin with `x_`, as it asks for.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal

from tts_operator.cli.bill import Charge

PROVIDER = "TTS Fleet"
HOURS = "Replica Hours"


def row(charge: Charge, period: tuple[datetime, datetime], currency: str) -> dict[str, str | None]:
    """One charge. Amounts are decimal strings, a null is None."""
    namespace, tenant = charge.tenant
    cost, price = _text(charge.cost), _text(charge.unit_price)
    usage = charge.usage
    return {
        "BilledCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "ContractedCost": cost,
        "BillingAccountId": namespace,
        "BillingAccountName": namespace,
        "BillingCurrency": currency,
        "BillingPeriodStart": _time(period[0]),
        "BillingPeriodEnd": _time(period[1]),
        "ChargePeriodStart": _time(charge.start),
        "ChargePeriodEnd": _time(charge.end),
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": f"Replicas of the text-to-speech endpoint {namespace}/{tenant}",
        "ConsumedQuantity": _text(charge.replica_hours),
        "ConsumedUnit": HOURS,
        "PricingCategory": "Standard",
        "PricingQuantity": _text(charge.replica_hours),
        "PricingUnit": HOURS,
        "ListUnitPrice": price,
        "ContractedUnitPrice": price,
        "ProviderName": PROVIDER,
        "PublisherName": PROVIDER,
        "InvoiceIssuerName": PROVIDER,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Natural Language Processing",
        "ServiceName": "Text-to-speech",
        "SubAccountId": f"{namespace}/{tenant}",
        "SubAccountName": tenant,
        "ResourceId": f"ttstenant/{namespace}/{tenant}",
        "ResourceName": tenant,
        "ResourceType": "TTSTenant",
        "Tags": json.dumps({"namespace": namespace, "tenant": tenant}),
        "x_CoveredHours": _text(charge.covered_hours),
        "x_Requests": str(usage.requests),
        "x_Characters": None if usage.characters is None else str(usage.characters),
        "x_AudioSeconds": _text(usage.audio_seconds),
        "x_CostPerMillionCharacters": _text(charge.per_million_characters),
        "x_CostPerAudioHour": _text(charge.per_audio_hour),
        "x_UsageBasis": usage.basis,
    }


def _text(amount: Decimal | None) -> str | None:
    """Decimal string without an exponent and without zeros at its end."""
    if amount is None:
        return None
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _time(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")

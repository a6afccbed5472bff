"""The two resources. CRDs, reference pages and validation are all derived from these models."""

from tts_operator.api.autoscaling import Autoscaling, Behavior, Metric, MetricType, Provider, ScalingRules
from tts_operator.api.base import ObjectMeta
from tts_operator.api.model import Engine, Precision, PrecisionOption, TTSModel, TTSModelSpec, Voice
from tts_operator.api.schedule import CalendarException, Preset, ScaleBounds, Schedule, Weekday, Window
from tts_operator.api.status import Condition, TTSModelStatus, TTSTenantStatus
from tts_operator.api.tenant import AuthMode, Isolation, Quota, Scenario, TenantModel, Tier, TTSTenant, TTSTenantSpec

__all__ = [
    "AuthMode",
    "Autoscaling",
    "Behavior",
    "CalendarException",
    "Condition",
    "Engine",
    "Isolation",
    "Metric",
    "MetricType",
    "ObjectMeta",
    "Precision",
    "PrecisionOption",
    "Preset",
    "Provider",
    "Quota",
    "ScaleBounds",
    "ScalingRules",
    "Scenario",
    "Schedule",
    "TTSModel",
    "TTSModelSpec",
    "TTSModelStatus",
    "TTSTenant",
    "TTSTenantSpec",
    "TTSTenantStatus",
    "TenantModel",
    "Tier",
    "Voice",
    "Weekday",
    "Window",
]

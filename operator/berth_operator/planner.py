"""The plans of this version as a `Planner`: the pure functions, with the settings that never change."""

from datetime import datetime

from berth_operator.facts import ModelFacts, RouteFacts
from berth_operator.model_plan import plan_model
from berth_operator.plan import Plan
from berth_operator.route_plan import plan_route
from berth_operator.settings import OperatorSettings


class SettingsPlanner:
    """Plans under one set of settings."""

    def __init__(self, settings: OperatorSettings) -> None:
        self._settings = settings

    def model(self, facts: ModelFacts, now: datetime) -> Plan:
        """See `plan_model`."""
        return plan_model(facts, self._settings, now)

    def route(self, facts: RouteFacts, now: datetime) -> Plan:
        """See `plan_route`."""
        return plan_route(facts, self._settings, now)

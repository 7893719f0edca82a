"""Answers commands that come through the hub: one at a time for each device, each audited."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from fieldline import Request, Runtime
from fieldline.access_settings import hub_access
from fieldline.errors import FieldlineError
from fieldline.limits import FILTERS_PER_SUBSCRIPTION_MAX
from fieldline_edge.commands.audit import Audit
from fieldline_edge.commands.desk import Memory, Pace, check_age, devices_by_topic, writing_of
from fieldline_edge.commands.keeper import CommandStats
from fieldline_edge.commands.order import Answer, Order, Refusal, Status, parse_order
from fieldline_edge.commands.writer import Line, carry_out
from fieldline_edge.drivers.base import Clock
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.settings import GatewaySettings

__all__ = ["CommandService"]

log = logging.getLogger(__name__)

_RETRY_S = 10.0
_BEGUN = "begun"


class CommandService:
    """Takes commands for the devices of one gateway until cancelled. `line_of` finds the line of a line key."""

    def __init__(
        self,
        settings: GatewaySettings,
        line_of: Callable[[str], Line | None],
        *,
        clock: Clock,
        stats: CommandStats,
    ) -> None:
        assert settings.commands is not None, "built only if commands are configured"
        self.stats = stats
        self._settings = settings
        self._line_of = line_of
        self._clock = clock
        self._limits = settings.commands
        self._audit = Audit(
            settings.commands.audit,
            bytes_max=settings.commands.audit_bytes_max,
            files_max=settings.commands.audit_files_max,
        )
        modbus = [device for device in settings.devices if isinstance(device, ModbusDeviceSettings)]
        self._devices = devices_by_topic(modbus, settings.site)
        self._turns = {topic: asyncio.Lock() for topic in self._devices}
        self._pace = Pace(settings.commands.writes_per_minute_max)
        self._memory = Memory()

    async def run(self) -> None:
        """Answer until cancelled. A hub that is away or refuses is no reason to stop."""
        self._remember()
        if not self._devices:
            log.warning("commands are configured, but no tag says 'writable': nothing can be written")
            return
        access = hub_access(self._settings.hub_tls, self._settings.hub_token)
        name = f"{self._settings.name}.commands"
        topics = list(self._devices)
        while True:
            try:
                async with Runtime(self._settings.hub, name=name, tls=access.tls, token=access.token) as runtime:
                    for at in range(0, len(topics), FILTERS_PER_SUBSCRIPTION_MAX):
                        filters = topics[at : at + FILTERS_PER_SUBSCRIPTION_MAX]
                        await runtime.respond(filters, lambda request: self._answer(request, runtime))
                    log.info("taking commands for %d devices", len(topics))
                    await asyncio.Event().wait()
            except FieldlineError as error:
                log.error("commands cannot be taken: %s; trying again in %g s", error, _RETRY_S)
            await asyncio.sleep(_RETRY_S)

    async def _answer(self, request: Request, runtime: Runtime) -> str:
        """The reply to one request, always JSON."""
        device = self._devices[request.topic]
        record: dict[str, Any] = {"by": request.by, "device": f"{device.area}/{device.name}"}
        try:
            order = parse_order(request.content)
            record |= {"id": order.id, "tag": order.tag, "value": order.value}
            check_age(order, now_s=self._clock.time_ns() / 1e9, age_s_max=self._limits.age_s_max)
            async with self._turns[request.topic]:
                answer, repeated = await self._do(order, request.topic, device, record)
        except Refusal as refusal:
            answer, repeated = Answer(Status.REFUSED, refusal.code, refusal.message), False
        if repeated:
            self.stats.repeated += 1
        else:
            setattr(self.stats, answer.status.value, getattr(self.stats, answer.status.value) + 1)
            await self._tell(runtime, device, {**record, **answer.as_json(str(record.get("id", "")))})
        more = {"device": f"{self._settings.site}/{device.area}/{device.name}", "tag": record.get("tag")}
        return json.dumps(answer.as_json(str(record.get("id", "")), **more, repeated=repeated or None))

    async def _do(
        self, order: Order, topic: str, device: ModbusDeviceSettings, record: Mapping[str, Any]
    ) -> tuple[Answer, bool]:
        """(answer, whether it is that of an earlier time). Raises Refusal while nothing was sent."""
        writing = writing_of(order, device)
        line = self._line_of(device.line.key)
        if line is None:
            raise Refusal("no_line", "the gateway is just taking the device into service; try again in a moment")
        earlier = self._memory.begin(topic, order)
        if earlier is not None:
            return earlier, True
        try:
            self._pace.take(self._clock.monotonic())
            await self._write_down({**record, "status": _BEGUN})
        except BaseException:  # refused or cancelled: nothing was sent
            self._memory.forget(topic, order)
            raise
        answer = Answer(Status.UNKNOWN, "deadline", "the time was over while it was under way", writing.value)
        try:
            answer = await carry_out(writing, device, line, verify=order.verify)
        finally:  # also when the deadline cancels us half way: the audit and the memory must have it
            self._memory.finish(topic, order, answer)
            if answer.code == "deadline":
                self.stats.unknown += 1
                self._append({**record, **answer.as_json(order.id)})
        return answer, False

    async def _tell(self, runtime: Runtime, device: ModbusDeviceSettings, record: Mapping[str, Any]) -> None:
        """Into the audit file, and to whoever listens to audit/."""
        stamped = await asyncio.to_thread(self._append, record)
        topic = f"audit/{self._settings.site}/{device.area}/{device.name}"
        await runtime.publish(topic, json.dumps(stamped), key=f"{device.area}/{device.name}")

    async def _write_down(self, record: Mapping[str, Any]) -> None:
        """Refusal("no_audit") if the line is not safe on disk: then nothing is written to the device."""
        try:
            await asyncio.to_thread(self._audit.append, self._stamped(record))
        except OSError as error:
            log.error("the audit file cannot be written, so nothing is: %s", error)
            raise Refusal("no_audit", "the gateway cannot write its audit file, so it writes nothing") from error

    def _append(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        stamped = self._stamped(record)
        try:
            self._audit.append(stamped)
        except OSError as error:
            log.error("the audit file cannot be written: %s", error)
        return stamped

    def _stamped(self, record: Mapping[str, Any]) -> dict[str, Any]:
        moment = datetime.fromtimestamp(self._clock.time_ns() / 1e9, UTC)
        return {"at": moment.isoformat(timespec="milliseconds"), **record}

    def _remember(self) -> None:
        """Know the commands of an earlier run again: one that was begun and never finished is not done twice."""
        for record in self._audit.latest():
            status, order_id, device = record.get("status"), record.get("id"), record.get("device")
            if not isinstance(order_id, str) or not isinstance(device, str) or status == Status.REFUSED.value:
                continue
            content = f"{record.get('tag')}={record.get('value')!r}"
            message = "begun before the gateway was started anew; nobody knows how it ended"
            answer = Answer(Status.UNKNOWN, "restarted", message)
            if status in {one.value for one in Status}:
                answer = Answer(
                    Status(status), str(record.get("code", "")), str(record.get("message", "")), record.get("value")
                )
            self._memory.note(f"commands/{self._settings.site}/{device}", order_id, content, answer)

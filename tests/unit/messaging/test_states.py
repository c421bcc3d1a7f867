"""The ways between a message's states, with crashes wherever they can be."""

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.messaging.domain.states import MAY_HAVE_GONE, SETTLED, Event, State, after, sources, target


def test_what_is_settled_stays_as_it_is() -> None:
    assert [(state, event) for state in SETTLED for event in Event if after(state, event) is not None] == []


def test_P4_nothing_leads_from_a_call_back_to_the_queue_but_the_sure_word_that_it_was_not_taken() -> None:
    back = {
        (state, event)
        for state in (State.CALLING, State.IN_DOUBT)
        for event in Event
        if after(state, event) in (State.QUEUED, State.CLAIMED, State.RETRY, State.CALLING)
    }
    assert back == {(State.CALLING, Event.RELEASE), (State.CALLING, Event.NOT_ACCEPTED)}


def test_the_guards_of_updates_are_the_table() -> None:
    for event in Event:
        assert set(sources(event)) == {state for state in State if after(state, event) is not None}
        for state in sources(event):
            assert target(event, state) is after(state, event)


class Holder:
    """A process that believes to hold the message."""

    def __init__(self, claim: int) -> None:
        self.claim = claim
        self.committed_call = False
        self.called = False
        self.answer: Event | None = None


class OneMessage(RuleBasedStateMachine):
    """The row in the database, processes that crash, hang and come back, and a provider that counts what it accepted."""

    @initialize()
    def begin(self) -> None:
        self.state = State.QUEUED
        self.claim = 0
        self.holders: list[Holder] = []
        self.accepted = 0

    def _move(self, event: Event, claim: int | None = None) -> bool:
        to = after(self.state, event)
        if to is None or (claim is not None and claim != self.claim):
            return False
        self.state = to
        return True

    @precondition(lambda self: after(self.state, Event.CLAIM) is not None)
    @rule()
    def somebody_claims(self) -> None:
        if self._move(Event.CLAIM):
            self.claim += 1
            self.holders.append(Holder(self.claim))

    @precondition(lambda self: after(self.state, Event.CLAIM_EXPIRED) is not None)
    @rule()
    def the_claims_lease_ends(self) -> None:
        self._move(Event.CLAIM_EXPIRED)

    @precondition(lambda self: after(self.state, Event.CALL_EXPIRED) is not None)
    @rule()
    def the_calls_lease_ends(self) -> None:
        self._move(Event.CALL_EXPIRED)

    def _pick(self, data: st.DataObject, fits: Callable[[Holder], bool] = lambda _: True) -> Holder:
        return data.draw(st.sampled_from([holder for holder in self.holders if fits(holder)]))

    @precondition(lambda self: any(not holder.committed_call for holder in self.holders))
    @rule(data=st.data())
    def a_holder_commits_that_it_calls(self, data: st.DataObject) -> None:
        holder = self._pick(data, lambda one: not one.committed_call)
        if self._move(Event.CALL, holder.claim):
            holder.committed_call = True

    @precondition(lambda self: any(not holder.called for holder in self.holders))
    @rule(data=st.data())
    def a_holder_gives_back_what_it_did_not_call(self, data: st.DataObject) -> None:
        holder = self._pick(data, lambda one: not one.called)
        if self._move(Event.RELEASE, holder.claim):
            self.holders.remove(holder)

    @precondition(lambda self: any(holder.committed_call and not holder.called for holder in self.holders))
    @rule(
        data=st.data(),
        answer=st.sampled_from([Event.ACCEPTED, Event.REJECTED, Event.NOT_ACCEPTED, Event.UNKNOWN]),
        taken=st.booleans(),
    )
    def a_holder_calls(self, data: st.DataObject, answer: Event, taken: bool) -> None:
        holder = self._pick(data, lambda one: one.committed_call and not one.called)
        holder.called = True
        holder.answer = answer
        self.accepted += answer is Event.ACCEPTED or (answer is Event.UNKNOWN and taken)

    @precondition(lambda self: any(holder.called for holder in self.holders))
    @rule(data=st.data())
    def a_holder_settles(self, data: st.DataObject) -> None:
        holder = self._pick(data, lambda one: one.called)
        self._move(holder.answer or Event.UNKNOWN, holder.claim)
        self.holders.remove(holder)

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def a_holder_dies(self, data: st.DataObject) -> None:
        self.holders.remove(self._pick(data))

    @precondition(lambda self: after(self.state, Event.SETTLED_SENT) is not None)
    @rule(sent=st.booleans())
    def a_person_settles_a_doubt(self, sent: bool) -> None:
        self._move(Event.SETTLED_SENT if sent else Event.SETTLED_NOT_SENT)

    @rule()
    def time_passes(self) -> None:
        """There is always something that may happen, even to what is settled."""

    @invariant()
    def the_provider_accepted_it_once_at_most(self) -> None:
        assert self.accepted <= 1

    @invariant()
    def what_the_provider_has_is_never_due_again(self) -> None:
        if self.accepted:
            assert self.state in (State.CALLING, State.IN_DOUBT, State.SENT, State.REFUSED)

    @invariant()
    def what_may_have_gone_counts(self) -> None:
        if self.accepted and self.state is not State.REFUSED:
            assert self.state in MAY_HAVE_GONE


TestP4OneMessage = OneMessage.TestCase
TestP4OneMessage.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)

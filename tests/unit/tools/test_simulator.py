from itertools import islice

from tools.simulator.catalogue import catalogue
from tools.simulator.stories import HABITS, Story, stories


def told(count: int, seed: int = 3) -> list[Story]:
    return list(islice(stories(seed, catalogue(1), "EUR"), count))


def test_the_same_seed_tells_the_same_stories() -> None:
    assert told(50) == told(50)
    assert told(50) != told(50, seed=4)


def test_every_habit_is_met_in_a_day_of_shoppers() -> None:
    assert {story.habit for story in told(400)} == set(HABITS)


def test_shoppers_repeat_and_delay_some_of_what_they_send() -> None:
    actions = [action for story in told(200) for action in story.actions]
    assert any(action.times > 1 for action in actions)
    assert any(action.late > 0 for action in actions)
    assert len({action.body["event_id"] for action in actions}) == len(actions)


def test_a_story_ends_as_its_habit_says() -> None:
    for story in told(300):
        orders = [action for action in story.actions if action.path.endswith("/orders")]
        assert bool(orders) == (story.habit in ("buyer", "returner", "two_devices", "guest")), story.habit
        for order in orders:
            assert ("cart_id" in order.body) == (story.habit != "guest")
        assert any(action.wait_for_mail for action in story.actions) == (story.habit == "returner")
        words = [word["state"] for action in story.actions for word in action.body.get("consent", [])]
        if story.habit == "refuser":
            assert words == ["revoked"]


def test_a_returner_has_a_cart_before_the_reminder_and_buys_after_it() -> None:
    story = next(story for story in told(100) if story.habit == "returner")
    back = next(number for number, action in enumerate(story.actions) if action.wait_for_mail)
    assert any(action.body.get("lines") for action in story.actions[:back])
    assert story.actions[-1].path.endswith("/orders")

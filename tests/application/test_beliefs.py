"""A true belief stays, a changed one is followed: sentences of one speaker, days apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.beliefs import judged, rows, stays, wrong_ends
from remembrancer import InvalidRequest, Memory
from remembrancer.testing.depth import scaled
from tests.helpers.clock import VirtualClock

START = datetime(2024, 10, 7, 9, tzinfo=UTC)
DAY = timedelta(days=1)
CASES = Path(__file__).parents[3] / "shared" / "cases" / "beliefs.json"


@pytest.fixture(scope="module")
def memory() -> Iterator[Memory]:
    with Memory() as opened:
        yield opened


def told(memory: Memory, user: str, *sentences: str) -> list[str]:
    """The active facts after sentences that were said some days apart."""
    for number, sentence in enumerate(sentences):
        memory.add(sentence, user_id=user, occurred_at=START + timedelta(days=3 * number))
    return [fact.text for fact in memory.get_all(user_id=user)]


STAYS = [
    ("I live in Graz.", "We moved to Jira in spring."),
    ("I live in Graz.", "I moved to the window seat."),
    ("I live in Graz.", "I moved to decaf."),
    ("I live in Graz.", "My sister moved to Turin."),
    ("I live in Graz.", "I would move to Turin if I could."),
    ("I live in Graz.", "I'm living in Turin until the flat is ready."),
    ("I live in Graz.", "I live in Turin at weekends."),
    ("I live in Graz.", "I also live in Turin."),
    ("I live in Graz.", "I dreamt that I moved to Turin."),
    ("I live in Graz.", "I live in flip-flops all summer."),
    ("I live in Graz.", "I have lived in a van once."),
    ("I live in Graz.", "I used to live in Turin."),
    ("I live in Graz.", "I live in Turin."),
    ("I live in Graz.", "I don't live in Turin."),
    ("I work at Lowmoor.", "I work with Martina on the budget."),
    ("I work at Lowmoor.", "I work at the kitchen table today."),
    ("I work at Lowmoor.", "I work for a charity on Saturdays."),
    ("I work at Lowmoor.", "I started at seven this morning."),
    ("I work at Lowmoor.", "I joined the Rotary Club as a member."),
    ("I work at Lowmoor.", "I left my holiday job after school."),
    ("I work at Lowmoor.", "I was fired from the school play."),
    ("I work at Lowmoor.", "I quit my paper round years ago."),
    ("I work at Lowmoor.", "Martina quit her job."),
    ("I'm single.", "I'm married to my garden."),
    ("I'm single.", "I got engaged in a long debate."),
    ("I'm married.", "My brother got divorced."),
    ("I'm married.", "I'm not engaged in politics."),
    ("I'm 41.", "I turned 40 in a tent."),
    ("I'm 41.", "We turned 10 as a band."),
    ("My favourite drink is mint tea.", "My favourite drink at parties is punch."),
    ("My favourite drink is mint tea.", "As a child my favourite drink was cocoa."),
    ("My favourite drink is mint tea.", "My brother's favourite drink is punch."),
    ("My favourite team is Rapid.", "My favourite team is now losing every game."),
    ("My cat is called Tiger.", "My new cat is called Panther."),
    ("My cat is called Tiger.", "My other cat is called Panther."),
    ("My boss is Renate.", "My old boss was Dieter."),
    ("My boss is Renate.", "Martina's boss is Dieter."),
    ("My phone number is 030 5550101.", "My old phone number was 030 5550199."),
    ("I play the cello.", "I no longer play the cello in public."),
    ("I play the cello.", "I stopped playing the cello to answer the door."),
    ("I play the cello.", "I don't play the cello on Sundays."),
    ("I play the cello.", "My cousin no longer plays the cello."),
    ("I play the cello.", "I used to play the cello with my father."),
    ("I eat cheese.", "I'm not eating cheese this week."),
    ("I eat cheese.", "I wish I no longer ate cheese."),
    ("I swim every morning.", "I stopped swimming for a minute."),
    ("I swim every morning.", "I stopped swimming, but I started again."),
    ("I use Excel for the accounts.", "I no longer use Excel for letters."),
    ("I drive a red Saab.", "I sold my old bike."),
    ("I drive a red Saab.", "My uncle sold his Saab."),
    ("I have an appointment with the vet on Monday.", "The meeting was moved to Tuesday."),
    ("My eye test is on Monday.", "My blood test was moved to Friday."),
    ("My rent is 700 euros.", "My salary went up to 4000 euros."),
    ("My rent is 700 euros.", "The rent of my neighbour went up to 900 euros."),
    ("I sing in a choir.", "I left the choir rehearsal early."),
    ("I take vitamin D.", "I took my coat off."),
    ("I'm dating Ruben.", "Ruben and I broke the piñata."),
    ("I'm dating Ruben.", "My parents split up."),
    ("Ich wohne in Graz.", "Ich wohne auch in Wien."),
    ("Ich wohne in Graz.", "Mein Bruder ist nach Wien gezogen."),
    ("Ich wohne in Graz.", "Ich bin zum Fenster gezogen."),
    ("Vivo en Sevilla.", "Mi prima se mudó a Bilbao."),
    ("Vivo en Sevilla.", "Quiero mudarme a Bilbao."),
    ("J'habite à Lyon.", "J'aimerais déménager à Lille."),
    ("J'habite à Lyon.", "Mon frère a déménagé à Lille."),
    ("我住在成都。", "我妹妹搬到重庆了。"),
    ("我住在成都。", "如果我搬到重庆，我会告诉你。"),
    ("京都に住んでいます。", "弟は大阪に引っ越しました。"),
    ("京都に住んでいます。", "大阪に引っ越したいです。"),
    ("My sister's rent is 500 euros.", "My rent went up to 760 euros."),
    ("Our team meeting is every Tuesday.", "The meeting was moved to Wednesday this week."),
    ("I don't have children.", "We got a baby monitor for the guests."),
    ("I go to the gym on Mondays.", "I left the gym yesterday."),
    ("I have a dog.", "Her dog died."),
    ("My project is due on Friday.", "The project of my colleague was moved to Monday."),
    ("My name is Ingrid.", "My name is now on the list."),
    ("I live in Oslo.", "Now I live in fear."),
    ("I live in Oslo.", "I now live in Notion."),
    ("I work at Acme.", "I now work at night."),
    ("I work at Acme.", "I now work from home."),
    ("My boss is Tom.", "My boss is now on holiday."),
    ("My favourite film is Alien.", "My favourite film is now on TV."),
    ("My favourite band is Blur.", "My favourite band is now touring."),
    ("My favourite café is Einstein.", "My favourite café is now closed."),
    ("I'm married.", "I got separated from my group."),
    ("I'm 41.", "I turned 42 down."),
    ("I play tennis.", "I stopped playing tennis at noon."),
    ("I drink wine.", "I no longer drink wine with lunch."),
    ("I have a cat.", "I lost my cat's collar."),
    ("I take the bus.", "I stopped taking the bus home on Fridays."),
    ("I own a boat.", "I sold my boat trailer."),
    ("I work at Acme.", "I got fired up about the new plan."),
    ("I work at Acme.", "I left Acme at six."),
    ("I work at Acme.", "I left Acme headquarters for lunch."),
    ("I live in Oslo.", "I moved to Paris for the weekend."),
    ("I live in Oslo.", "I moved to Paris in the simulation."),
    ("My phone number is 030 5550101.", "My new phone number pad is broken."),
    ("I like my job.", "I no longer like my job interview suit."),
    ("I'm vegan.", "I'm vegetarian enough for them."),
    ("I speak French.", "I stopped speaking French to the waiter."),
    ("My address is 5 Elm Row.", "My new address book has 9 pages."),
    ("I weigh 80 kg.", "My dog weighs 30 kg now."),
    ("I'm dating Ruben.", "Anna and I split the bill."),
    ("I smoke.", "I no longer smoke inside."),
    ("I live in Bonn.", "We moved to Berlin as a team for the hackathon."),
    ("I live in Bonn.", "I moved to Berlin's side in the debate."),
    ("Ich wohne in Bonn.", "Ich bin nach Berlin gefahren."),
    ("Ich trinke Bier.", "Ich trinke kein Bier mehr vor vier."),
    ("Ich rauche.", "Ich rauche nicht mehr als früher."),
    ("Vivo en Madrid.", "Ya no vivo con miedo."),
    ("J'habite à Lyon.", "J'habite maintenant seul."),
    ("我住在北京。", "我搬到上海的分公司了。"),
    ("我喝咖啡。", "我今天不喝咖啡了。"),
    ("コーヒーを飲みます。", "今日はもうコーヒーは飲みません。"),
    ("I work at Acme.", "I started at the back of the room."),
    ("I work at Acme.", "I started for Germany at the championship."),
    ("I work at Acme.", "I accepted a position at Greenpeace as a volunteer."),
    ("I work at Acme.", "I have a new role at Acme."),
    ("I'm single.", "I have a partner in crime."),
    ("I'm single.", "I have a partner now for the tango class."),
    ("I'm engaged.", "We got married in the play."),
    ("My manager is Li.", "My new manager app is Trello."),
    ("I like tea.", "Sorry, I mean I like tea a lot."),
    ("My sister's name is Ida.", "Correction: my name is Ada."),
    ("I have two cats.", "I got rid of the cat hair."),
    ("I don't drink.", "I had a drink again."),
    ("I don't eat fish.", "I ate fish again by mistake."),
]
CHANGES = [
    ("I live in Graz.", "We moved to Turin last month."),
    ("I live in Graz.", "I live in Turin now."),
    ("I live in Graz.", "We've relocated from Graz to Nether Wallop."),
    ("I live in Graz.", "Sorry, I meant to say that I live in Turin."),
    ("I live in Graz.", "I no longer live in Graz."),
    ("I work at Lowmoor.", "I got a new job at Tarnwick."),
    ("I work at Lowmoor.", "I started working for Tarnwick in September."),
    ("I work at Lowmoor.", "I was laid off last week."),
    ("I work at Lowmoor.", "I resigned from Lowmoor."),
    ("I work at Lowmoor.", "I don't work at Lowmoor any more."),
    ("I'm a carpenter at Lowmoor.", "I now work at Tarnwick."),
    ("I'm engaged.", "We got married yesterday!"),
    ("I'm married to Ruben.", "Ruben and I got divorced."),
    ("I'm single.", "I have a girlfriend now."),
    ("I'm dating Ruben.", "Ruben and I broke up."),
    ("I'm 41.", "I turned 42 yesterday."),
    ("My favourite drink is mint tea.", "My new favourite drink is punch."),
    ("My favourite drink is mint tea.", "My favourite drink is now punch."),
    ("My favourite drink is mint tea.", "Correction: my favourite drink is punch."),
    ("My boss is Renate.", "My new boss is Dieter."),
    ("My phone number is 030 5550101.", "My new phone number is 030 5550199."),
    ("My email is kim@one.example.", "My new email address is kim@two.example."),
    ("My address is 3 Mill Lane.", "New address: 8 Station Road."),
    ("I'm vegan.", "I'm vegetarian now."),
    ("I weigh 82 kg.", "I'm down to 79 kg."),
    ("I play the cello.", "I no longer play the cello."),
    ("I smoke.", "I gave up smoking two months ago."),
    ("I swim every morning.", "I stopped swimming because of my shoulder."),
    ("I stopped swimming.", "I swim again."),
    ("I drink beer on Fridays.", "I don't drink beer anymore."),
    ("I don't smoke.", "I started smoking again."),
    ("My eye test is on Monday.", "My eye test was moved to Friday."),
    ("The concert is on May 3.", "They postponed the concert to June 10."),
    ("We're flying to Oslo on Friday.", "Our flight to Oslo was rescheduled to Sunday."),
    ("I'm training for a triathlon.", "I had to cancel the triathlon."),
    ("My rent is 700 euros.", "My rent went up to 760 euros."),
    ("My hourly rate is $40.", "They raised my hourly rate to $45."),
    ("I drive a red Saab.", "I sold my Saab."),
    ("I have a canary named Pip.", "Pip died last week."),
    ("I take Lipanor.", "My doctor took me off Lipanor."),
    ("I sing in a choir.", "I quit the choir."),
    ("I don't have a dog.", "We adopted a puppy."),
    ("I can't swim.", "I learned to swim."),
    ("My daughter's name is Ida.", "Correction: her name is Ada, not Ida."),
    ("Ich wohne in Graz.", "Wir sind nach Wien gezogen."),
    ("Ich esse Fleisch.", "Ich esse kein Fleisch mehr."),
    ("Ich rauche.", "Ich rauche nicht mehr."),
    ("Mein Chef ist Jens.", "Meine neue Chefin ist Ute."),
    ("Vivo en Sevilla.", "Me he mudado a Bilbao."),
    ("Fumo.", "Ya no fumo."),
    ("Trabajo en Endesa.", "Me despidieron la semana pasada."),
    ("J'habite à Lyon.", "J'ai déménagé à Lille en mai."),
    ("Je mange de la viande.", "Je ne mange plus de viande."),
    ("Je suis célibataire.", "Je me suis mariée en juin."),
    ("我住在成都。", "我搬到重庆了。"),
    ("我抽烟。", "我不抽烟了。"),
    ("京都に住んでいます。", "先月大阪に引っ越しました。"),
    ("タバコを吸います。", "もうタバコは吸いません。"),
]


@pytest.mark.parametrize(("base", "said"), STAYS)
def test_a_true_belief_stays(memory: Memory, base: str, said: str) -> None:
    assert stays(memory, f"{base}{said}"[:100], {"kind": "", "base": base, "said": said}).right


@pytest.mark.parametrize(("base", "said"), CHANGES)
def test_an_announced_change_is_followed(memory: Memory, base: str, said: str) -> None:
    active = told(memory, f"{base}{said}"[:100], base, said)

    assert base not in active
    assert said in active


def test_ordinary_sentences_end_nothing(memory: Memory) -> None:
    said, wrong = wrong_ends(memory, scaled(4))

    assert wrong == []
    assert said >= 30


def test_shared_cases(memory: Memory) -> None:
    if not CASES.exists():
        pytest.skip(f"{CASES} is not there")
    cases = json.loads(CASES.read_text(encoding="utf-8"))

    results = list(judged(memory, cases))

    assert [row.case for row in rows(results) if row.met is False] == []


def rivals_in(memory: Memory, user: str) -> dict[str, set[str]]:
    facts = {fact.fact_id: fact for fact in memory.get_all(user_id=user)}
    return {fact.text: {facts[rival].text for rival in fact.rivals} for fact in facts.values()}


def test_rivals_name_each_other_until_one_ends(memory: Memory) -> None:
    # Given another answer without a word of change
    memory.add("I live in Graz.", user_id="rival", occurred_at=START)
    receipt = memory.add("I live in Turin.", user_id="rival", occurred_at=START + DAY)
    # Then both name each other, in the fact, the listing and the receipt
    assert rivals_in(memory, "rival") == {
        "I live in Graz.": {"I live in Turin."},
        "I live in Turin.": {"I live in Graz."},
    }
    [verdict] = receipt.verdicts
    [graz] = verdict.rivals
    assert memory.get(graz, user_id="rival").text == "I live in Graz."
    # When one of them ends
    memory.add("I no longer live in Graz.", user_id="rival", occurred_at=START + 2 * DAY)
    # Then the other has no rival
    assert rivals_in(memory, "rival") == {
        "I live in Turin.": set(),
        "I no longer live in Graz.": set(),
    }


@pytest.mark.parametrize("limit", [1, 5])
def test_search_puts_the_newer_rival_first(memory: Memory, limit: int) -> None:
    user = f"order-{limit}"
    memory.add("I live in Graz, right by the station.", user_id=user, occurred_at=START)
    memory.add("I like mountains.", user_id=user, occurred_at=START)
    memory.add("We live in Turin.", user_id=user, occurred_at=START + DAY)

    asked = memory.search("Where do I live?", user_id=user, limit=limit)
    named = memory.search("Do I live in Graz?", user_id=user, limit=limit)

    assert asked.results[0].text == "We live in Turin."
    assert named.results[0].text == "I live in Graz, right by the station."
    scores = [result.score for result in asked]
    assert scores == sorted(scores, reverse=True)


def test_search_as_of_a_time_before_a_rival_does_not_know_it(memory: Memory) -> None:
    first = memory.add("My boss is Renate.", user_id="past", occurred_at=START)
    then = memory.get(first.verdicts[0].fact_id or "", user_id="past").updated_at
    memory.add("My boss is Dieter.", user_id="past", occurred_at=START + DAY)

    past = memory.search("Who is my boss?", user_id="past", as_of=then)
    now = memory.search("Who is my boss?", user_id="past")

    assert [result.text for result in past] == ["My boss is Renate."]
    assert now.results[0].text == "My boss is Dieter."


def test_sentence_about_tools_is_visible_at_once(memory: Memory) -> None:
    active = told(memory, "tools", "I live in Graz.", "We moved to Kubernetes last year.")

    assert set(active) == {"I live in Graz.", "We moved to Kubernetes last year."}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Are you vegetarian?", "Yes."),
        ("Do you have any siblings?", "No, I don't."),
        ("And where do you live?", "Graz."),
        ("What's your favourite colour?", "Dark green."),
        ("Wohnen Sie in Graz?", "Ja."),
    ],
)
def test_short_answer_keeps_its_question(memory: Memory, question: str, answer: str) -> None:
    user = f"{question}{answer}"
    receipt = memory.add(
        [
            {"role": "assistant", "content": f"Nice to meet you. {question}"},
            {"role": "user", "content": f"{answer} What else do you want to know?"},
        ],
        user_id=user,
    )

    [fact] = memory.get_all(user_id=user)
    assert fact.text == f"{question} – {answer}".removesuffix(" What else do you want to know?")
    assert {item.quote for item in fact.evidence} == {question, answer}
    assert fact.speaker == "user"
    assert [skip.text for skip in receipt.skipped if skip.reason == "question"]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Can I help you with anything else?", "No."),
        ("How are you today?", "Great, thanks!"),
        ("Is that right?", "Yes."),
        ("Did you know that?", "No."),
        ("Where do you live?", "I'd rather not say."),
        ("Where do you live?", "No idea"),
    ],
)
def test_courtesy_is_no_answer(memory: Memory, question: str, answer: str) -> None:
    user = f"{question}{answer}"
    memory.add(
        [{"role": "assistant", "content": question}, {"role": "user", "content": answer}],
        user_id=user,
    )

    assert not any(" – " in fact.text for fact in memory.get_all(user_id=user))


def test_answered_question_is_a_statement_that_later_ones_end(memory: Memory) -> None:
    memory.add(
        [
            {"role": "assistant", "content": "Where do you live?"},
            {"role": "user", "content": "Graz."},
        ],
        user_id="answered",
        occurred_at=START,
    )

    assert told(memory, "answered", "I moved to Turin.") == ["I moved to Turin."]


@pytest.mark.parametrize(
    "request_",
    [
        "Can you remember that I live in Graz?",
        "can you remember that i live in london",
        "Could you please keep in mind that I live in Graz?",
        "Would you make a note that I live in Graz?",
        "Do you mind remembering that I live in Graz?",
    ],
)
def test_request_to_remember_is_a_statement(memory: Memory, request_: str) -> None:
    assert told(memory, request_, request_, "I moved to Turin.") == ["I moved to Turin."]


@pytest.mark.parametrize(
    "question", ["Can you remember where I live?", "Could you remember what I like?"]
)
def test_question_about_memory_is_a_question(memory: Memory, question: str) -> None:
    assert told(memory, question, question) == []


def test_recurring_events_stay_apart(memory: Memory) -> None:
    sync = "We met for the weekly sync."

    assert told(memory, "sync", sync, sync) == [sync, sync]


def test_reaffirmation_takes_over_a_later_expiry_and_new_metadata() -> None:
    clock = VirtualClock()
    with Memory(overrides={"clock": clock}) as memory:
        soon, late = clock.time + timedelta(hours=1), clock.time + timedelta(hours=5)
        memory.add("My PIN is 1234.", user_id="u", expires_at=late, metadata={"a": 1, "b": 1})
        memory.add("My PIN is 1234.", user_id="u", expires_at=soon, metadata={"b": 2})

        [fact] = memory.get_all(user_id="u")
        assert (fact.expires_at, fact.reaffirmed) == (late, 1)
        assert fact.metadata == {"a": 1, "b": 2}

        memory.add("My PIN is 1234.", user_id="u", expires_at=late + timedelta(hours=1))
        [fact] = memory.get_all(user_id="u")
        assert fact.expires_at == late + timedelta(hours=1)


def test_fact_said_again_without_expiry_does_not_expire() -> None:
    clock = VirtualClock()
    with Memory(overrides={"clock": clock}) as memory:
        memory.add("My PIN is 1234.", user_id="u", expires_at=clock.time + timedelta(hours=1))
        memory.add("My PIN is 1234.", user_id="u")
        memory.add("My PIN is 1234.", user_id="u")
        clock.move(hours=2)

        [fact] = memory.get_all(user_id="u")
        assert (fact.expires_at, fact.reaffirmed) == (None, 1)


def test_fact_that_expires_does_not_end_one_that_does_not() -> None:
    clock = VirtualClock()
    with Memory(overrides={"clock": clock}) as memory:
        memory.add("I live in Graz.", user_id="u")
        receipt = memory.add(
            "I moved to Turin.", user_id="u", expires_at=clock.time + timedelta(hours=1)
        )

        assert [verdict.decision for verdict in receipt.verdicts] == ["add"]
        assert len(receipt.verdicts[0].rivals) == 1
        clock.move(hours=2)
        assert [fact.text for fact in memory.get_all(user_id="u")] == ["I live in Graz."]


def test_expiry_in_the_past_is_refused_and_nothing_is_written() -> None:
    clock = VirtualClock()
    with Memory(overrides={"clock": clock}) as memory:
        for expires_at in (clock.time, clock.time - timedelta(hours=1)):
            with pytest.raises(InvalidRequest, match=r"expires_at: .* is not after now"):
                memory.add("I like figs.", user_id="u", expires_at=expires_at)

        assert list(memory.get_all(user_id="u")) == []

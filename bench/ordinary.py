"""Ordinary sentences of invented people, each true of the one who says it.

A life is a list of sentences that are all true at the same time: about home, work, family, habits,
tools, travels, other people, the past, plans and what might be. They are full of the words with
which people announce changes ("moved", "left", "stopped", "no longer", "now"), and nothing in them
ends anything that was said before. All names are invented or belong to well-known places.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

LIVES = 400
"""People."""

SENTENCES = 30
"""Sentences of each."""

_SEED = 20240506

_VALUES: Mapping[str, Sequence[str]] = {
    "city": "Lyon Porto Leeds Utrecht Graz Malmö Turin Ghent Bilbao Cork Brno Aarhus Basel".split(),
    "trip": "Naples Oslo Athens Kyoto Dublin Prague Seville Tallinn Valencia Montreal".split(),
    "origin": "Austin Krakow Lima Nairobi Hanoi Sofia Dakar Manila Quito Riga".split(),
    "firm": "Tarnwick Oberlin Mossgate Pellworm Kestrelby Hartvale Dunmore Ostrava-Werk".split(),
    "other_firm": "Brightwell Lindqvist Carrowmore Fennwick Zellner Marlowe".split(),
    "job": ["a nurse", "an electrician", "a data analyst", "a teacher", "a chef", "a paralegal"],
    "friend": "Nadia Piotr Imani Lars Chiara Bao Freya Tomas Leila Henrik".split(),
    "sibling": "brother sister cousin uncle aunt neighbour flatmate colleague".split(),
    "pet": "cat dog rabbit parrot hamster tortoise".split(),
    "pet_name": "Biscuit Pixel Olive Mango Waffle Ziggy Pepper".split(),
    "tool": "Postgres Slack Kubernetes Notion Figma Linux Terraform GitLab Excel Python".split(),
    "food": "pasta lentils sushi tacos risotto dumplings pancakes curry".split(),
    "drink": ["green tea", "coffee", "oat milk", "sparkling water", "cocoa"],
    "sport": "climbing swimming rowing fencing bouldering skating cycling".split(),
    "hobby": "knitting pottery photography gardening woodworking birdwatching".split(),
    "language": "Spanish Finnish Korean Arabic Welsh Greek".split(),
    "colour": "teal purple orange grey yellow crimson".split(),
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "month": "January February March June July September October November".split(),
    "year": [str(year) for year in range(2003, 2023)],
    "number": [str(number) for number in range(2, 40)],
    "time": ["after lunch", "before work", "in the evening", "at night", "on weekends"],
}

_TRUE_OF_ME = """\
I live in {city}.
I grew up in {origin}.
I was born in {origin}, but I went to school in {city}.
I work at {firm} as {job}.
I've been with {firm} since {year}.
My {pet} is called {pet_name}.
My favourite colour is {colour}.
I love {food}.
I drink {drink} {time}.
I go {sport} every {day}.
I speak {language} with my grandmother.
I play chess with {friend}.
I'm married to {friend}.
I use {tool} at work.
My birthday is in {month}.
I'm allergic to peanuts.
I have two children, both in primary school.
I run five kilometres every morning.
I take the tram to the office.
I drive an old estate car.
My boss is very patient.
I weigh myself every {day}.
My rent is due on the first of the month.
My phone number ends in {number}.
I'm a member of a {hobby} club.
I like my job.
I sing in a choir on {day} evenings.
I read before bed every night.
I keep bees behind the house.
I volunteer at the animal shelter.
I own a small boat.
I'm vegetarian, except at Christmas."""

_NO_CHANGE = """\
My {sibling} moved to {trip} in {month}.
{friend} lives in {trip}.
{friend} left {other_firm} last year.
{friend} no longer eats meat.
My {sibling} got divorced in {year}.
My {sibling} quit smoking.
My parents sold their house in {origin}.
We moved to {tool} last {month}.
Our team switched to {tool} for the new project.
I've moved to the back row for the rest of the course.
I moved the sofa to the other wall.
I moved to seat {number} because of the draught.
The office moved to the third floor.
The company moved its servers to {tool}.
I stayed in {trip} for two weeks in {month}.
I'm in {trip} for a conference until {day}.
I used to live in {trip} when I was a student.
I lived in {origin} until {year}.
I worked at {other_firm} from {year} on, for three years.
I used to work at {other_firm}, long before my current job.
I worked with {friend} on the annual report.
I work with people from all over the world.
I work for the fun of it, my {sibling} says.
I work from {trip} twice a year.
I'm working on a talk about {hobby}.
If I moved to {trip}, I would miss the market here.
I might move to {trip} one day.
I would quit my job if I won the lottery.
I thought about leaving my job in {year}, but I didn't.
I nearly moved to {trip} once.
I dream of living in {trip}.
{friend} asked me whether I had moved to {trip}.
"I live in {trip}," said the man on the train.
{friend} said: I quit my job.
In the novel the hero says he no longer lives in {trip}.
I stopped at the bakery on the way home.
I stopped the car to let a duck cross.
I stopped by to see {friend} on {day}.
I quit the game after {number} minutes.
I left my umbrella at the office.
I left work early on {day}.
I left the party before midnight.
I lost my keys again.
I lost {number} dollars in a bet with {friend}.
I sold my old bike to {friend}.
I sold {number} jars of honey at the market.
I cancelled the newspaper while we are away.
I changed the tyres in {month}.
I changed trains in {trip}.
I turned the heating down to 18 degrees.
I turned left at the church by mistake.
My {sibling} turned 40 in {month}.
I don't drink {drink} {time}.
I don't eat {food} on {day}s.
I no longer buy {food} at the corner shop.
I no longer take the lift, only the stairs.
I don't go {sport} when it rains.
I stopped running for a moment to tie my shoe.
I didn't go {sport} last {day}.
I skipped {sport} this week because of a cold.
I don't use {tool} for private things.
My favourite colour for walls is grey.
My favourite season for {sport} is autumn.
In {trip} my favourite café is the one by the river.
As a child, my favourite food was {food}.
{friend}'s favourite colour is {colour}.
My {sibling}'s {pet} is called {pet_name}.
My neighbour's boss is called {friend}.
My name is on the door.
My name is often misspelled.
Everyone at {firm} calls me by my first name.
My number in the race was {number}.
My address book has {number} entries.
I'm {number} minutes late again.
I am one of {number} people in the choir.
I also teach {hobby} at the community centre.
I also have a flat in {trip} that we rent out.
I also speak a little {language}.
I got a job offer from {other_firm} and turned it down.
I was hired by {firm} in {year}.
I joined a book club in {month}.
I joined {friend} for lunch on {day}.
I started learning {language} in {month}.
I started work at seven today.
I'm new to {hobby}.
I bought new shoes on {day}.
My new shoes are {colour}.
I have a new colleague called {friend}.
I now know how to make {food}.
I now and then cook {food} for friends.
I'm now done with the tax return.
I'm no longer afraid of spiders.
I'm not tired at all today.
I'm not married to my opinions.
I got married in {year}.
I got engaged in {trip}.
We broke up the old patio in {month}.
We got separated at the station for a while.
The meeting on {day} was moved to the big room.
Our flight was delayed by an hour.
The dentist moved to the building next door.
The price of {food} went up to {number} euros.
The water went up to my knees.
The doctor took me off the waiting list.
My glasses went up in strength.
Sorry, I meant to write earlier.
Sorry, I'm a bit slow today.
Actually, I enjoyed the film about {trip}.
I was wrong about the weather.
Correction fluid is hard to find these days.
These days everybody talks about {tool}.
The nights are getting longer now.
{friend} is my oldest friend.
{friend} and I went to {trip} in {month}.
{friend} and I broke the record for the longest picnic.
My {sibling} says I should move to {trip}.
People say I look like my {sibling}.
Nobody in my family smokes any more.
There's a new bakery in {city}.
The weather in {city} has been dreadful.
I met {friend} at the station in {trip}.
I took {number} pictures in {trip}.
I'd rather live in {city} than in {trip}.
I feel at home in {trip} too.
On {day}s I work from the library.
In summer I live on salads.
I live near the park, five minutes from the station.
I live for the weekends.
I go by bike most of the time.
I go by what the label says.
Call me when you get to {trip}.
I retired the old printer.
I retired early last night with a book.
I gave up my seat for an old man.
I gave up on the crossword.
I cut down on {drink} in {month}.
I switched off the lights in the hall.
I switched seats with {friend}.
I can't live without {drink}.
I miss {trip}.
I owe {friend} {number} euros.
I've read {number} books this year.
I hope to see {trip} again.
I plan to visit {trip} in {month}.
I was in {trip} on {day}.
I ordered {food} for everyone.
I had {food} for lunch.
I forgot {friend}'s birthday.
I'm on the train to {trip} right now.
I'm based at home this week.
I'm living out of a suitcase this week.
I'm currently reading about {trip}.
I'm currently working on a quilt."""


def lives(count: int = LIVES, *, seed: int = _SEED) -> Iterator[list[str]]:
    """The sentences of ``count`` people, the same ones for the same ``seed``."""
    draw = random.Random(seed)
    own, others = _TRUE_OF_ME.splitlines(), _NO_CHANGE.splitlines()
    for _ in range(count):
        # A person has one home, one employer and so on, in all of the sentences.
        fixed = _some(draw)
        mine = [line.format(**fixed) for line in draw.sample(own, SENTENCES // 2)]
        rest = [
            line.format(**_some(draw) | {name: fixed[name] for name in ("city", "firm")})
            for line in draw.sample(others, SENTENCES - len(mine))
        ]
        draw.shuffle(rest)
        yield [*mine, *rest]


def _some(draw: random.Random) -> dict[str, str]:
    return {name: draw.choice(values) for name, values in _VALUES.items()}

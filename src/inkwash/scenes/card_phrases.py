"""The English sentence forms that prompts for cards are put together from.

Slots: {a} the genre with its article ("a birthday card"), {g} without it, {T} the texts, {F} the first text, {R} the
others, {O} the things, {M} a sentence for every text,
{Q} a text. Each list is split into train and held-out by the hash of the form (`words.of_split`, kind
`template`), so keep a form's wording once it has been trained on. The forms of one genre are in
`card_phrases_genres`, those of other languages in `card_phrases_world`.
"""

from __future__ import annotations

SAYS = (
    "{a} that says {T}", "{a} saying {T}", "{a} with the text {T}", "{a} reading {T}", "{a} which reads {T}",
    "{g}: {T}", "{g}, {T}", "{g}, {T}", "{g} {T}", "{g} with {T}", "{g} - {T}", "{g} with text {T}", "{g} text {T}",
    "make {a} that says {T}", "make me {a} with {T}", "make {a} with the words {T}", "create {a} that reads {T}",
    "create {a} with {T}", "design {a} with the text {T}", "design {a} that says {T}", "draw {a} with {T} on it",
    "generate {a} with the text {T}", "generate {a} saying {T}", "I need {a} that says {T}", "I want {a} with {T}",
    "I'd like {a} that reads {T}", "we need {a} with {T} on it", "please make {a} with {T}",
    "please design {a} that says {T}", "can you make {a} that says {T}?", "could you draw {a} with the text {T}?",
    "can I get {a} with {T} on it?", "would you create {a} reading {T} for me?", "how about {a} that says {T}?",
    "a nice {g} that says {T}", "a simple {g} with {T}", "a beautiful {g} with the words {T}",
    "one {g} with {T}, please",
    "help me with {a}: it should say {T}", "{a}. It says {T}", "{a}. The text is {T}", "{a}. Text: {T}",
    "{a}, the text reads {T}", "{a}, text reads {T}", "{a}; it must say {T}", "{a} for my friend, with {T}",
    "a {g} for tomorrow, it has to say {T}", "{a} and on it {T}", "{T} on {a}", "{T}, {g}", "{T} as {a}",
    "write {T} on {a}", "put {T} on {a}", "show {T} on {a}", "the text {T} on {a}", "{a} displaying {T}",
    "{a} showing the words {T}", "{a} with the message {T}", "{a} with lettering {T}", "{a} with {T} written on it",
    "{a} where it says {T}", "{a} bearing the words {T}", "an idea for {a}: {T}", "quick {g}, just {T}",
    "looking for {a} that says {T}", "hi, I need {a}, please write {T}", "prompt: {g}, {T}", "{g} design, {T}",
    "{g} template with {T}", "cute {g} saying {T}", "a cool {g} that says {T}", "{a}, caption {T}",
    "imagine {a} that says {T}", "give me {a} with {T}", "let's make {a} that says {T}", "{a} (text: {T})",
    "new {g} please, with {T}", "a fun {g} with the following text: {T}", "{a} with these words: {T}",
    "{a} containing the text {T}", "the words {T} on {a}", "{g} that reads {T}", "{g} saying {T}", "{g} / {T}",
    "typography: {T} on {a}", "my {g} should say {T}", "this is for {a}: {T}", "{a} on which one reads {T}",
)  # fmt: skip

BARE_SAYS = (
    "{T}", "{T}", "write {T}", "just the text {T}", "draw the words {T}", "the text {T}", "it should say {T}",
    "text: {T}", "lettering: {T}", "please write {T}", "show the text {T}", "I want it to say {T}", "make it say {T}",
    "something that says {T}", "something nice with {T}", "the words {T}", "with the text {T}", "typography {T}",
    "print {T}", "please show {T}", "lettering {T}", "only the words {T}",
)  # fmt: skip

TITLED = (
    "{a} with the title {F} and below it {R}", "{a}, title {F}, then {R}", "{a} with the headline {F} and {R}",
    "{a} titled {F}, with {R}", "{a}. The title is {F}, below it {R}", "{a}. Headline: {F}. Text: {R}",
    "{g}, {F} as the title, {R} below", "{g}: {F} at the top, {R} underneath", "{g} with {F} on top and {R} below",
    "make {a} with the heading {F} and then {R}", "create {a}: heading {F}, details {R}", "{F}, {R} below, {g}",
    "{a} that says {F} and underneath {R}", "{a} titled {F}. Under the title: {R}", "design {a}: title {F}, text {R}",
    "{a} with {F} as headline, followed by {R}", "I need {a} headed {F}, listing {R}", "{a} called {F} with {R}",
    "{g}. Title {F}. Also {R}", "first line {F}, then {R}, {g}", "{a} whose title is {F}, plus {R}",
    "{g} - title: {F} - text: {R}", "please make {a}: the title says {F}, the rest {R}", "{F} on {a}, under it {R}",
    "{a}. At the top it reads {F}, and further down {R}", "can you design {a} with title {F} and lines {R}?",
)  # fmt: skip

SUBTITLED = (
    "{a} with the title {F} and the subtitle {R}", "{a}, title {F}, subtitle {R}", "{g} {F}, tagline {R}",
    "{a} with {F} and in the second line {R}", "{a} that says {F} on the first line and {R} on the second",
    "{g} with the headline {F} and the subline {R}", "{a} titled {F} with the slogan {R}", "{F} above {R} on {a}",
    "{a} with {F}, and {R} at the bottom", "{a} reading {F}, {R} below it", "title {F} and caption {R} for {a}",
    "{a}: {F}, with a footer {R}",
    "{a}: title {F}, subtitle {R}", "{F} as title and {R} as subtitle, {g}", "headline {F}, second line {R}, {g}",
)  # fmt: skip

PICTURED = (
    "{a} with {O} that says {T}", "{a} with {O} and the text {T}", "{a} with {O}, text {T}", "{a} with {O} saying {T}",
    "{g}, {O}, {T}", "{g} with {O}, {T}", "{g}: {O}, text {T}", "{O} and the text {T} on {a}", "{O}, {T}, {g}",
    "make {a} with {O} and {T}", "make me {a} with {O}, it should say {T}", "create {a} showing {O} and the words {T}",
    "design {a} that shows {O} and says {T}", "draw {O} on {a} with the text {T}", "I want {a} with {O} reading {T}",
    "I'd love {a} with {O}; the text is {T}", "please draw {a} with {O} and write {T}", "{a} showing {O}, saying {T}",
    "can you make {a} with {O} that says {T}?", "{a} featuring {O} and the message {T}", "{O} with the caption {T}",
    "{a}. It shows {O} and says {T}", "{a}. There is {O} and the text {T}", "a cute {g} with {O} and {T}",
    "{a} decorated with {O}, reading {T}", "{a} illustrated with {O}, and the words {T}", "{O} next to the words {T}",
    "{a} that says {T} with {O}", "{a} saying {T} and showing {O}", "{g} with the text {T} and {O}", "{g}, {T}, {O}",
    "{g} with {T} and {O}", "{T} with {O}", "{T} and {O}", "{T}, {O}, {g}", "write {T} and draw {O}",
    "{a}: {T}, together with {O}", "put {T} and {O} on {a}", "{a} combining {O} with the words {T}",
    "for {a}: {O}, and it says {T}",
)  # fmt: skip

NO_TEXT = (
    "{a} with {O}", "{g} with {O}", "{g}, {O}", "{O}", "{O}", "draw {O}", "a picture of {O}", "show {O}",
    "{a} showing {O}", "make {a} with {O}", "I want {a} with {O}", "an illustration of {O}", "please draw {O}",
    "can you draw {O}?", "just {O}", "{O} on {a}", "create an image of {O}", "clipart of {O}",
    "{a} that only shows {O}",
    "a photo of {O}", "photo of {O}", "a cartoon of {O}", "a portrait of {O}", "an emoji of {O}",
    "an icon of {O}", "a drawing of {O}", "{g} featuring {O}", "paint {O} for me", "{O}, {g}",
)  # fmt: skip

BLANK = (
    "{a}", "an empty {g}", "a blank {g}", "{g} without anything on it", "draw {a}", "{a}, nothing else",
    "an empty picture",
    "a plain surface", "leave it empty", "an image with nothing on it",
    "draw an empty {g}", "a {g} left empty", "nothing but {a}", "an untouched {g}", "a bare {g}",
)  # fmt: skip

EMPTY_QUOTES = (
    "{a} that says {E}", "{a} with the text {E}", "{g}: {E}", "make {a} with {E} on it", "{g}, text {E}",
    "{a} reading {E}",
    "draw {a} saying {E}", "{a}, caption {E}",
)  # fmt: skip

UNQUOTED = (
    "{a} that says {T}", "{a} saying {T}", "{a} with the words {T}", "{T}", "{T}", "{a} for {T}", "{g} {T}", "{g}: {T}",
    "make {a} that reads {T}", "{a} with {T} written on it", "a cool {g} for my project {T}", "{a} called {T}",
    "write {T} on {a}", "{a} with the name {T}", "I need {a} which says {T}", "{a} with text {T}", "{a} that reads {T}",
    "please make {a} named {T}",
)  # fmt: skip

SPREAD = (
    "{a}. {M}", "make {a}. {M}", "I need {a}. {M}", "{g}. {M}", "design {a}. {M}", "a picture of {a}. {M}",
    "the image shows {a}. {M}", "create {a} with several lines of text. {M}", "please draw {a}. {M}",
    "here is what should be on {a}. {M}", "{a} for our event. {M}", "a clean {g}. {M}", "{a} with clear lettering. {M}",
    "I am making {a}. {M}", "we are looking at {a}. {M}", "this picture presents {a}. {M}",
)  # fmt: skip
SPREAD_FIRST = (
    "the title is {Q}", "the headline says {Q}", "at the top it reads {Q}", "the first line is {Q}",
    "it starts with {Q}",
    "on top stands {Q}", "the heading reads {Q}", "big at the top: {Q}", "the main text is {Q}", "title: {Q}",
    "the first line reads {Q}", "it is titled {Q}", "above everything, {Q}",
)  # fmt: skip
SPREAD_NEXT = (
    "below it, {Q}", "then comes {Q}", "underneath it says {Q}", "next line: {Q}", "then {Q}",
    "the next line reads {Q}",
    "under that, {Q}", "after that, {Q}", "it goes on with {Q}", "followed by {Q}", "a line says {Q}",
    "below that you read {Q}",
    "another line is {Q}", "also {Q}", "beneath, {Q}", "{Q}",
)  # fmt: skip
SPREAD_LAST = (
    "at the bottom, {Q}", "the last line is {Q}", "at the very bottom it says {Q}", "and finally {Q}",
    "it ends with {Q}",
    "the footer reads {Q}", "down at the bottom: {Q}", "last comes {Q}", "and as a last line {Q}", "at the end, {Q}",
)  # fmt: skip

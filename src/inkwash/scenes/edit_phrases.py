"""The sentence templates of editing instructions, one list per kind of edit.

Slots: {C} colour, {T} a text of the picture, {O} a shape, {P} a place ("at the top"), {D} a destination ("the top"),
{W} new words in quotation marks, {S} a drawing style. The lists are split by hash like the caption templates.
"""

from __future__ import annotations

BACKGROUND = (
    "Replace the background with {C}",
    "Change the background to {C}",
    "Make the background {C}",
    "Turn the background {C}.",
    "Set the background colour to {C}",
    "Use a {C} background instead",
    "replace the background with a {C} one",
    "I want a {C} background",
    "Put it on a {C} background",
    "Give the picture a {C} background.",
    "change the background color to {C}",
    "Swap the background for {C}",
    "Please make the background {C}.",
    "{C} background",
    "The background should be {C}",
    "Repaint the background in {C}",
    "Change the background colour to {C}.",
    "Change the background into {C}",
    "Recolor the background to {C}",
    "Set the background to {C}",
    "I would like a {C} background",
    "New background: {C}",
    "Paint the background {C}",
    "Please change the background to {C}.",
    "Fill the background with {C}",
)

RECOLOR_TEXT = (
    "Make {T} {C}",
    "Change the color of {T} to {C}",
    "Turn {T} {C}",
    "Write {T} in {C}",
    "Recolor {T} to {C}",
    "Paint {T} {C}",
    "Change {T} to {C} letters",
    "Use {C} for {T}",
    "I want {T} in {C}",
    "{T} should be {C}",
    "Set the colour of {T} to {C}.",
    "Give {T} the color {C}",
)

RECOLOR_SHAPE = (
    "Make {O} {C}",
    "Change the color of {O} to {C}",
    "Turn {O} {C}",
    "Paint {O} {C}",
    "Recolor {O} to {C}",
    "Change {O} to {C}",
    "Use {C} for {O}",
    "I want {O} in {C}",
    "{O} should be {C}",
    "Set the colour of {O} to {C}.",
    "Colour {O} {C}",
    "Give {O} the color {C}",
)

WORDS = (
    "Change {T} to {W}",
    "Replace {T} with {W}",
    "Change the words: {T} becomes {W}",
    "Make {T} say {W}",
    "Write {W} instead of {T}",
    "Replace {T} by {W}",
    "Swap {T} for {W}",
    "{T} should read {W}",
    "Edit {T} so that it says {W}",
    "Turn {T} into {W}",
    "Please change {T} into {W}.",
    "Let {T} read {W}",
    "Put {W} in place of {T}",
    "Please replace {T} with {W}.",
    "Exchange {T} for {W}",
    "Change {T} into {W}",
    "Replace {T} with the word {W}",
    "Rewrite {T} as {W}",
)
WORDS_ONLY = (
    "Change the text to {W}",
    "Make it say {W}",
    "Replace the text with {W}",
    "Change the word to {W}",
    "The text should be {W}",
    "It should say {W} instead",
    "Change the words to {W}",
    "Replace the word with {W}.",
    "Write {W} instead",
    "Make the sign read {W}",
    "Let it say {W}",
    "Replace the words by {W}",
    "Replace the words with {W}",
    "Make the text say {W}",
    "It should read {W}",
)

ADD_TEXT = (
    "Add the word {W} {P}",
    "Add {W} {P}",
    "Write {W} {P}",
    "Put {W} {P}",
    "Add the text {W} {P}.",
    "Insert {W} {P}",
    "Please add {W} {P}",
    "Also write {W} {P}",
    "I want {W} {P} as well",
    "Include {W} {P}",
    "Place the word {W} {P}",
)
ADD_SHAPE = (
    "Add {O} {P}",
    "Put {O} {P}",
    "Draw {O} {P}",
    "Insert {O} {P}",
    "Please add {O} {P}.",
    "Place {O} {P}",
    "Add {O} to the picture {P}",
    "I want {O} {P}",
    "Include {O} {P}",
    "Also draw {O} {P}",
    "Decorate it with {O} {P}",
)

REMOVE = (
    "Remove {O}",
    "Delete {O}",
    "Take away {O}",
    "Erase {O}",
    "Get rid of {O}",
    "Remove {O} from the picture.",
    "Please remove {O}",
    "Drop {O}",
    "I do not want {O}",
    "Wipe out {O}",
    "Leave out {O}",
)

MOVE = (
    "Move {O} to {D}",
    "Put {O} at {D}",
    "Shift {O} to {D}",
    "Place {O} at {D}",
    "Please move {O} to {D}.",
    "Bring {O} to {D}",
    "I want {O} at {D}",
    "{O} should be at {D}",
    "Drag {O} to {D}",
    "Relocate {O} to {D}",
    "Let {O} go to {D}",
)

STYLE = (
    "Redraw this {S}",
    "Change the style: draw it {S}",
    "Make it look as if drawn {S}",
    "Draw the same picture {S}",
    "Turn it into a picture {S}",
    "Restyle the picture: {S}",
    "The same, but {S}",
    "I want this {S}",
    "Give me this picture {S}",
    "Please redraw it {S}.",
)

COMBINE_SHAPE = (
    "Add {O} from the second picture to the first one",
    "Put {O} of the second image into the first image",
    "Take {O} from the second picture and place it in the first",
    "Copy {O} of the second picture into the first",
    "Combine both pictures: the first one with {O} of the second",
    "Insert {O} from the second image in the first",
    "The first picture, with {O} from the second picture",
    "Bring {O} over from the second picture",
    "Use the first picture and add {O} of the second one",
)
COMBINE_TEXT = (
    "Put the text of the second picture on the first one",
    "Write the words of the second image on the first image",
    "Combine the first picture with the text of the second",
    "Copy the text from the second picture to the first",
    "Take the text of the second image and add it to the first",
    "The first picture with the words of the second picture",
    "Add the lettering of the second picture to the first",
    "Place the words of the second picture on the first picture",
    "Use the first picture and add the words of the second one",
)
COMBINE_BACKGROUND = (
    "Use the background of the second picture for the first one",
    "Put the first picture on the background of the second",
    "Give the first image the background colour of the second image",
    "Replace the background of the first picture by that of the second",
    "The first picture with the background of the second picture",
    "Change the background of the first image to that of the second",
    "Combine them: content of the first, background of the second",
    "Take the background from the second picture and everything else from the first",
    "Copy the background of the second picture to the first",
)

#!/usr/bin/env perl
# Turns lines `speaker utterance utterance ...` (files or standard input) into lines `utterance speaker`.
use strict;
use warnings;

while (<>) {
    my ($speaker, @utts) = split;
    if (!@utts) {
        chomp;
        die "spk2utt_to_utt2spk.pl: error: line $.: expected `speaker utterance ...`, found '$_'\n";
    }
    print "$_ $speaker\n" for @utts;
}

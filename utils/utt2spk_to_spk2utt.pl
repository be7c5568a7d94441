#!/usr/bin/env perl
# Turns lines `utterance speaker` (files or standard input) into lines `speaker utterance utterance ...`.
use strict;
use warnings;

my (%utts, @speakers, %seen);
while (<>) {
    my ($utt, $speaker, @more) = split;
    if (!defined $speaker || @more) {
        chomp;
        die "utt2spk_to_spk2utt.pl: error: line $.: expected `utterance speaker`, found '$_'\n";
    }
    die "utt2spk_to_spk2utt.pl: error: line $.: duplicate utterance '$utt'\n" if $seen{$utt}++;
    push @speakers, $speaker unless $utts{$speaker};
    push @{ $utts{$speaker} }, $utt;
}
print "$_ @{ $utts{$_} }\n" for @speakers;

#!/usr/bin/env perl
# Splits a list into parts of nearly equal size that follow each other, with the command line of Kaldi's split_scp.pl.
use strict;
use warnings;

my $usage = <<'END';
usage: split_scp.pl [--utt2spk=FILE] IN OUT1 OUT2 ...
       split_scp.pl -j NUM_JOBS JOB [--one-based] [--utt2spk=FILE] IN [OUT]
Sizes differ by one line at most. With --utt2spk no speaker is divided. JOB counts from 0, with --one-based from 1.
IN and OUT may be - (standard input and output).
END

sub fail { print STDERR "split_scp.pl: error: $_[0]\n"; exit(1) }

my ($num_jobs, $job, $one_based, $utt2spk, @files);
while (@ARGV) {
    my $word = shift @ARGV;
    if ($word eq '--help' || $word eq '-h') {
        print $usage;
        exit(0);
    } elsif ($word eq '-j') {
        ($num_jobs, $job) = splice(@ARGV, 0, 2);
        fail("-j: expected a number of jobs and a job, found '" . join(' ', grep { defined } $num_jobs, $job) . "'")
            unless defined $job && $num_jobs =~ /^[1-9]\d*$/ && $job =~ /^\d+$/;
    } elsif ($word eq '--one-based' || $word eq '--one_based') {
        $one_based = 1;
    } elsif ($word =~ /^--utt2spk=(.+)$/) {
        $utt2spk = $1;
    } elsif ($word eq '--utt2spk') {
        $utt2spk = shift @ARGV // fail('--utt2spk has no value');
    } elsif ($word =~ /^--?\w/) {
        fail("unknown option $word\n$usage");
    } else {
        push @files, $word;
    }
}
my ($in, @outs) = @files;
if (defined $num_jobs) {
    fail("expected IN [OUT] after -j, found '@files'") unless @files == 1 || @files == 2;
    $job -= 1 if $one_based;
    fail('-j: the job is not one of the ' . $num_jobs . ' (they count from ' . ($one_based ? 1 : 0) . ')')
        if $job < 0 || $job >= $num_jobs;
} else {
    fail("expected IN and one OUT or more\n$usage") unless @outs;
    $num_jobs = @outs;
}

sub read_lines {
    my ($file) = @_;
    my $handle = \*STDIN;
    if ($file ne '-') {
        open($handle, '<', $file) or fail("$file: cannot be read: $!");
    }
    my @lines = <$handle>;
    $lines[-1] .= "\n" if @lines && $lines[-1] !~ /\n\z/;
    return @lines;
}

my @lines = read_lines($in);
fail("$in: empty; nothing to split") unless @lines;

# Groups of lines that must stay together: one line each, or all of one speaker.
my @groups;
if (defined $utt2spk) {
    my (%speaker, %group);
    for (read_lines($utt2spk)) {
        my ($utt, $spk, @more) = split;
        fail("$utt2spk: expected `utterance speaker`, found '$_'") unless defined $spk && !@more;
        $speaker{$utt} = $spk;
    }
    for (@lines) {
        my ($utt) = split;
        my $spk = defined $utt ? $speaker{$utt} : undef;
        fail("$in: '" . ($utt // '') . "' is not in $utt2spk") unless defined $spk;
        push @groups, $group{$spk} = [] unless $group{$spk};
        push @{ $group{$spk} }, $_;
    }
} else {
    @groups = map { [$_] } @lines;
}
if (@groups < $num_jobs) {
    my $what = defined $utt2spk ? 'speakers' : 'lines';
    fail("$in: " . scalar(@groups) . " $what cannot be split into $num_jobs parts; use fewer jobs (--nj)");
}

my @parts;
if (defined $utt2spk) {
    # Close a part when one more speaker would take it further from its share of what is left, but leave at least one
    # speaker to each of the later parts.
    my $left = @lines;
    my $next = 0;
    for my $part (0 .. $num_jobs - 1) {
        my $share = $left / ($num_jobs - $part);
        my @own = @{ $groups[$next++] };
        while ($next < @groups && @groups - $next > $num_jobs - $part - 1) {
            my $size = @{ $groups[$next] };
            last if $part < $num_jobs - 1 && abs(@own + $size - $share) > abs(@own - $share);
            push @own, @{ $groups[$next++] };
        }
        $left -= @own;
        push @parts, \@own;
    }
} else {
    my $size = int(@lines / $num_jobs);
    my $longer = @lines % $num_jobs;
    my $next = 0;
    for my $part (0 .. $num_jobs - 1) {
        my $number = $size + ($part < $longer ? 1 : 0);
        push @parts, [ @lines[ $next .. $next + $number - 1 ] ];
        $next += $number;
    }
}

sub write_lines {
    my ($file, @text) = @_;
    if ($file eq '-' || (-e $file && !-f $file)) {
        my $handle = \*STDOUT;
        if ($file ne '-') {
            open($handle, '>', $file) or fail("$file: cannot be written: $!");
        }
        print $handle @text or fail("$file: cannot be written: $!");
        return;
    }
    # Under the final name only when complete.
    open(my $handle, '>', "$file.$$.part") or fail("$file: cannot be written: $!");
    my $good = print $handle @text;
    $good = close($handle) && $good;
    if (!$good || !rename("$file.$$.part", $file)) {
        my $error = $!;
        unlink("$file.$$.part");
        fail("$file: cannot be written: $error");
    }
}

if (defined $job) {
    write_lines($outs[0] // '-', @{ $parts[$job] });
} else {
    write_lines($outs[$_], @{ $parts[$_] }) for 0 .. $#outs;
}

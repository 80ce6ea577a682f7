#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "gridmill/template/template.hpp"

namespace gridmill::jinja {
namespace {

Members variables() {
  const Value all = Value::from_json(
      R"({"name": "Zoë", "items_list": [3, 1, 2], "empty": [], "nothing": null, "flag": true,
          "record": {"b": 1, "A": {"x": [true, null, 1.0, "it's"]}},
          "big": 123456789012345678901234567890, "tiny": 1e-7, "huge": 1e16,
          "people": [{"n": "Ann", "age": 3}, {"n": "bob"}, {"n": "Cid", "age": 1}]})",
      "test");
  Members members;
  for (const auto& [key, value] : all.as_dict()->entries) {
    members.emplace_back(*key.as_text(), value);
  }
  return members;
}

std::string render(const std::string& source) {
  return Template::parse(source, "t")
      .render(variables(), local_time_from_text("2026-02-03T04:05:06"));
}

using Examples = std::vector<std::pair<std::string, std::string>>;

void expect_all(const Examples& examples) {
  for (const auto& [source, expected] : examples) {
    try {
      EXPECT_EQ(render(source), expected) << source;
    } catch (const Error& error) {
      ADD_FAILURE() << source << ": " << error.what();
    }
  }
}

std::string error_of(const std::string& source) {
  try {
    return "no error: " + render(source);
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(TemplateLanguage, TagsStripWhiteSpaceAsJinjaDoesWithTrimAndLstripBlocks) {
  expect_all({
      {"a\n  {% if true %}\nb\n  {% endif %}\nc\n", "a\nb\nc"},
      {"a  {{- 1 -}}  b", "a1b"},
      {"a \n {%- if true -%} \n b {% endif %}\n\nc", "ab \nc"},
      {"a\n  {%+ if true %}b{% endif +%}\nc", "a\n  b\nc"},
      {"x {# note #} y\n  {# gone #}\nz", "x  y\nz"},
      {"{#- a -#}  x", "x"},
      {"line\r\nend\r\n", "line\nend"},
      {"{{ '}}' }}{{ {'a': {'b': 1}}['a']['b'] }}", "}}1"},
  });
}

TEST(TemplateLanguage, ValuesPrintAsPythonPrintsThem) {
  expect_all({
      {"{{ true }} {{ none }} {{ nothing }} {{ missing }}", "True None None "},
      {"{{ record }}", "{'b': 1, 'A': {'x': [True, None, 1.0, \"it's\"]}}"},
      {"{{ (1,) }} {{ (1, 'a') }} {{ [] }} {{ {} }}", "(1,) (1, 'a') [] {}"},
      {"{{ big }} {{ tiny }} {{ huge }} {{ 1e22 }} {{ 0.1 }} {{ 100.0 }} {{ 123456.789 }}",
       "123456789012345678901234567890 1e-07 1e+16 1e+22 0.1 100.0 123456.789"},
      {R"({{ ['a\n\\\'"', 'é\u200b'] }})", R"(['a\n\\\'"', 'é\u200b'])"},
      {"{{ 'a' 'b' ~ 1 ~ none }}", "ab1None"},
  });
}

TEST(TemplateLanguage, OperatorsBindAndCalculateAsInPython) {
  expect_all({
      {"{{ 1 + 2 * 3 ** 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** -1 }}",
       "19 -4 2 3.5 0.5"},
      {"{{ 'ab' * 2 }} {{ [1] + [2] }} {{ 1 + 1.5 }} {{ true + 1 }}", "abab [1, 2] 2.5 2"},
      {"{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'b' in 'abc' }} {{ 4 not in items_list }} {{ 'b' in "
       "record }}",
       "True True True True True"},
      {"{{ '' or 'x' }} {{ 0 and 1 }} {{ not empty }} {{ 'a' if flag else 'b' }}[{{ 'a' if empty "
       "}}]",
       "x 0 True a[]"},
  });
}

TEST(TemplateLanguage, ItemsAndSlicesCountCharacters) {
  expect_all({
      {"{{ name[2] }} {{ name[-1] }} {{ name[:2] }} {{ name[::-1] }} {{ name|length }}",
       "ë ë Zo ëoZ 3"},
      {"{{ items_list[1:] }} {{ items_list[-2:] }} {{ items_list[::2] }} {{ items_list[5:] }}",
       "[1, 2] [1, 2] [3, 2] []"},
      {"{{ record.b }}{{ record['b'] }}{{ record.A.x[1] }}[{{ record.zzz }}][{{ items_list[9] }}]",
       "11None[][]"},
  });
}

TEST(TemplateLanguage, SetReachesOutOfIfButNotOutOfFor) {
  expect_all({
      {"{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "2"},
      {"{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}", "1"},
      {"{% set n = namespace(x=1) %}{% for i in [1] %}{% set n.x = n.x + 1 %}{% endfor %}{{ n.x }}",
       "2"},
      {"{% set a, b = 1, 'z' %}{{ b }}{{ a }}", "z1"},
      {"{% set t | upper %}a{{ 1 }}b{% endset %}{{ t }}", "A1B"},
  });
}

TEST(TemplateLanguage, LoopsKnowWhereTheyAre) {
  expect_all({
      {"{% for i in items_list %}{{ loop.index }}/{{ loop.length }}:{{ i }}{{ ',' if not loop.last "
       "}}{% endfor %}",
       "1/3:3,2/3:1,3/3:2"},
      {"{% for k, v in record.items() %}{{ k }};{% endfor %}", "b;A;"},
      {"{% for i in range(5) if i % 2 %}{{ loop.index0 }}{{ i }} {% endfor %}", "01 13 "},
      {"{% for i in range(9) %}{% if i == 2 %}{% continue %}{% elif i == 4 %}{% break %}{% endif "
       "%}{{ i }}{% endfor %}",
       "013"},
      {"{% for i in empty %}x{% else %}none{% endfor %}{% for i in missing %}x{% endfor %}",
       "none"},
      {"{% for i in 'ab' %}{{ loop.previtem }}-{{ loop.nextitem }};{% endfor %}", "-b;a-;"},
      {"{% for i in [1, 1, 2] %}{{ loop.cycle('a', 'b') }}{{ loop.changed(i) }} {% endfor %}",
       "aTrue bFalse aTrue "},
  });
}

TEST(TemplateLanguage, MacrosCallThemselvesAndTheirCaller) {
  expect_all({
      {"{% macro f(n, end='.') %}{{ n }}{% if n %}{{ f(n - 1) }}{% else %}{{ end }}{% endif %}{% "
       "endmacro %}{{ f(2) }}{{ f(0, end='!') }}",
       "210.0!"},
      {"{% macro box(t) %}<{{ t }}{{ caller('x') }}>{% endmacro %}{% call(a) box('y') %}[{{ a "
       "}}]{% endcall %}",
       "<y[x]>"},
      {"{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(**{'a': 3, 'b': 4}) }}",
       "1234"},
      {"{% set x = 1 %}{% macro f() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ f() }}", "2"},
      {"{% filter upper %}a{{ name }}{% endfilter %}{% generation %}g{% endgeneration %}", "AZOËg"},
  });
}

TEST(TemplateLanguage, FiltersDoWhatJinjaDoes) {
  expect_all({
      {"{{ record|tojson }}", R"({"b": 1, "A": {"x": [true, null, 1.0, "it's"]}})"},
      {"{{ {'a': [1], 'b': {}}|tojson(indent=2) }}", "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}"},
      {"{{ 'é\u2028<>\x1f'|tojson }} {{ 'é😀'|tojson(ensure_ascii=true) }}",
       "\"é\u2028<>\\u001f\" \"\\u00e9\\ud83d\\ude00\""},
      {"{{ [1, 2]|tojson(separators=(',', ':')) }} {{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }}",
       "[1,2] {\"a\": 2, \"b\": 1}"},
      {"{{ missing|default('d') }} {{ ''|default('d', true) }} {{ none|d('x') }}", "d d None"},
      {"{{ items_list|sort|join('-') }} {{ items_list|max }} {{ items_list|sum }} {{ "
       "items_list|first }} {{ items_list|last }}",
       "1-2-3 3 6 3 2"},
      {"{{ record|dictsort }}", "[('A', {'x': [True, None, 1.0, \"it's\"]}), ('b', 1)]"},
      {"{{ people|map(attribute='n')|join(',') }} {{ people|selectattr('age', "
       "'defined')|list|length }}",
       "Ann,bob,Cid 2"},
      {"{{ people|selectattr('n', 'equalto', 'bob')|map(attribute='n')|list }} {{ "
       "people|rejectattr('age')|list|length }}",
       "['bob'] 1"},
      {"{{ people|selectattr('age')|sort(attribute='age')|map(attribute='n')|join }}", "CidAnn"},
      {"{{ ['a', 'A', 'b']|unique|list }} {{ [1, '', 2]|select|list }} {{ [1, 2, "
       "3]|reject('odd')|list }}",
       "['a', 'b'] [1, 2] [2]"},
      {"{{ ' x '|trim }}|{{ 'xxaxx'|trim('x') }}|{{ 'a b'|title }}|{{ 'straße'|upper }}|{{ "
       "'ΑΣ'|lower }}",
       "x|a|A B|STRASSE|ας"},
      {"{{ 'a\n\nb'|indent(2) }}|{{ 'a'|indent(2, true) }}", "a\n\n  b|  a"},
      {"{{ '3.7'|int }} {{ 'x'|int(9) }} {{ '2.5'|float }} {{ 2.5|round }} {{ -3|abs }} {{ "
       "3.14159|round(2) }}",
       "3 9 2.5 2.0 3 3.14"},
      {"{{ '<a>'|e }} {{ ('<b>'|safe) + '<' }} {{ '<b>'|safe ~ '<' }}", "&lt;a&gt; <b>&lt; <b><"},
      {"{{ none|map('upper')|list }} {{ none|select|list }} {{ 7|round }} {{ big|float }}",
       "[] [] 7 1.2345678901234568e+29"},
      {"{{ 'aXbX'|replace('X', '-') }} {{ 'aXbX'|replace('X', '-', 1) }}", "a-b- a-bX"},
  });
}

TEST(TemplateLanguage, TestsDoWhatJinjaDoes) {
  expect_all({
      {"{{ missing is defined }} {{ none is defined }} {{ missing is none }} {{ nothing is none }}",
       "False True False True"},
      {"{{ 'a' is string }} {{ record is mapping }} {{ 'a' is sequence }} {{ 1 is iterable }} {{ "
       "missing is iterable }}",
       "True True True False True"},
      {"{{ true is number }} {{ true is integer }} {{ 1.0 is float }} {{ false is false }} {{ 0 is "
       "false }}",
       "True False True True False"},
      {"{{ 3 is odd }} {{ 4 is divisibleby 2 }} {{ 2 is in [1, 2] }} {{ 3 is not even }}",
       "True True True True"},
      {"{{ 'x' if missing is not defined else 'y' }}", "x"},
  });
}

TEST(TemplateLanguage, MethodsDoWhatPythonDoes) {
  expect_all({
      {"{{ '\u00a0\u3000a\u2003\x1f'.strip() }}|{{ '\u200ba'.strip()|length }}", "a|2"},
      {"{{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }}",
       "['a', 'b'] ['a', 'b,c'] ['a,b', 'c']"},
      {"{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'bc')) }} {{ 'abcb'.find('b') }} {{ "
       "'é.b'.find('b') }}",
       "True True 1 2"},
      {"{{ \"they're bill's\".title() }} {{ 'hELLO'.capitalize() }} {{ '-'.join(['a', 'b']) }}",
       "They'Re Bill'S Hello a-b"},
      {"{{ ' a  b '.split(none, 1) }} {{ ' a  b '.rsplit(none, 1) }} {{ missing is callable }}",
       "['a', 'b '] [' a', 'b'] True"},
      {"{{ record.get('b') }} {{ record.get('q') }} {{ record.get('q', 2) }} {{ record.keys()|list "
       "}}",
       "1 None 2 ['b', 'A']"},
      {"{{ 'xxaxx'.lstrip('x') }} {{ 'a\\r\\nb\\n'.splitlines() }} {{ 'aa'.replace('a', 'b', 1) }}",
       "axx ['a', 'b'] ba"},
  });
}

TEST(TemplateLanguage, TheClockIsGiven) {
  expect_all({
      {"{{ strftime_now('%Y-%m-%d %H:%M:%S %d %b %Y %B %A %j %-d %%') }}",
       "2026-02-03 04:05:06 03 Feb 2026 February Tuesday 034 3 %"},
  });
  const Template no_clock = Template::parse("{{ strftime_now is defined }}", "t");
  EXPECT_EQ(no_clock.render({}), "False");
  EXPECT_TRUE(no_clock.mentions("strftime_now"));
  EXPECT_FALSE(no_clock.mentions("messages"));
  EXPECT_THROW(static_cast<void>(local_time_from_text("2026-02-30T00:00:00")), UsageError);
}

TEST(TemplateErrors, NameLineAndColumn) {
  EXPECT_EQ(error_of("ab\n{{ 'é' + 1 }}"),
            "t: line 2, column 8: can only concatenate str (not \"int\") to str");
  EXPECT_EQ(error_of("{{ missing.x }}"), "t: line 1, column 11: 'missing' is undefined");
  EXPECT_EQ(error_of("{% if 1 %}"),
            "t: line 1, column 11: expected {% endif %}, found the end of the template");
  EXPECT_EQ(error_of("\n{{ a|nope }}"), "t: line 2, column 6: unsupported: filter 'nope'");
  EXPECT_EQ(error_of("{% include 'x' %}"), "t: line 1, column 4: unsupported: statement 'include'");
  EXPECT_EQ(error_of("{{ a is nope }}"), "t: line 1, column 9: unsupported: test 'nope'");
  EXPECT_EQ(error_of("{% if false %}{{ a.format(1) }}{% endif %}"),
            "t: line 1, column 19: unsupported: method 'format'");
}

TEST(TemplateErrors, AreWhatPythonAndTheSandboxRaise) {
  for (const char* source :
       {"{{ 'a' + none }}", "{{ missing + 1 }}", "{{ 1 < 'a' }}", "{{ items_list.append(1) }}",
        "{{ 1|length }}", "{{ none[1:] }}", "{{ missing() }}", "{% for i in 1 %}{% endfor %}",
        "{{ 9223372036854775807 + 1 }}", "{{ 1 % 0 }}", "{{ '%s' % 1 }}", "{{ [missing]|tojson }}",
        "{% set n = namespace() %}{% set n._x = 1 %}", "{{ {}|items|length }}", "{{ {[]: 1} }}",
        "{% macro f() %}{% endmacro %}{{ f(1) }}", "{{ range(100001)|length }}",
        "{{ none|indent }}", "{{ [[1]]|unique|list }}"}) {
    EXPECT_THROW(static_cast<void>(render(source)), RenderError) << source;
  }
}

TEST(TemplateErrors, RaiseExceptionGivesItsMessage) {
  try {
    static_cast<void>(render("{{ raise_exception('no ' ~ name) }}"));
    FAIL();
  } catch (const RenderError& error) {
    EXPECT_TRUE(error.raised());
    EXPECT_EQ(error.reason(), "no Zoë");
  }
}

TEST(TemplateErrors, TextThatIsNoTemplateIsRefused) {
  for (const char* source :
       {"{{", "{{ 1", "{% %}", "{{ }}", "{# x", "{{ 'a }}", "{{ (1] }}", "{{ 1 + }}", "{% endif %}",
        "{% for x %}{% endfor %}", "{% break %}", "{{ a[1:2:3:4] }}", "{{ f(a=1, 2) }}",
        "{% set none = 1 %}", "{{ $ }}", "\xff", "{{ '\\xzz' }}", "{{ 99999999999999999999 }}"}) {
    EXPECT_THROW(static_cast<void>(Template::parse(source, "t")), FormatError) << source;
  }
}

TEST(TemplateLimits, HostileTemplatesEndAsErrors) {
  constexpr RenderLimits kSmall{
      .steps = 500'000, .created_bytes = 4 << 20, .output_bytes = 1 << 20};
  std::string deep_value = "{% set n = namespace(x=[]) %}{% for i in range(1000) %}";
  deep_value += "{% set n.x = [n.x] %}{% endfor %}";
  for (const std::string& source : std::vector<std::string>{
           "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
           "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ 'x' * 1000000000000 }}",
           "{{ [1] * 1000000000000 }}",
           "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% "
           "endfor %}",
           "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% "
           "endfor %}{{ n.x }}",
           "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% "
           "endfor %}{{ n.x|tojson }}",
           "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] "
           "%}{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}",
           "{{ ('a' * 1000000)|replace('', 'b' * 1000000) }}",
           "{{ ''|indent(999999999999, true) }}", "{{ [[1]]|tojson(indent=999999999999) }}",
           deep_value}) {
    const Template program = Template::parse(source, "t");
    EXPECT_THROW(static_cast<void>(program.render(variables(), {}, kSmall)), RenderError) << source;
  }
}

TEST(TemplateLimits, HostileSourcesAreRefusedOrRun) {
  const auto repeated = [](const std::string& text, int count) {
    std::string result;
    for (int i = 0; i < count; ++i) result += text;
    return result;
  };
  for (const std::string& source :
       {"{{ " + repeated("(", 100000) + " }}", "{{ " + repeated("[", 100000) + " }}",
        "{{ " + repeated("not ", 100000) + "1 }}", "{{ " + repeated("-", 100000) + "1 }}",
        "{{ 1" + repeated(" + 1", 100000) + " }}", "{{ a" + repeated(".a", 100000) + " }}",
        "{{ a" + repeated("|trim", 100000) + " }}", repeated("{% if 1 %}", 100000),
        repeated("{% for i in x %}", 100000), "{{ a" + repeated(" if a else a", 100000) + " }}"}) {
    EXPECT_THROW(static_cast<void>(Template::parse(source, "t")), FormatError)
        << source.substr(0, 40);
  }
  const std::string long_chain = "{% if 0 %}" + repeated("{% elif 0 %}", 10000) + "{% endif %}";
  EXPECT_EQ(render(long_chain), "");
}

TEST(TemplateLimits, NamespacesMayReferToEachOther) {
  EXPECT_EQ(render("{% set n = namespace(a=1) %}{% set n.self = n %}{% set n.list = [n] %}{{ "
                   "n.self.list[0].a }}"),
            "1");
  EXPECT_EQ(render("{% set n = namespace(head=none) %}{% for i in range(50000) %}{% set n.head = "
                   "namespace(next=n.head) %}{% endfor %}ok"),
            "ok");
}

TEST(TemplateValue, JsonKeepsWhatPythonSees) {
  const Value value = Value::from_json(R"({"z": 1, "a": 1.0, "z": 2, "n": -0.0})", "x");
  const Members members{{"v", value}};
  EXPECT_EQ(Template::parse("{{ v|tojson }}", "t").render(members),
            R"({"z": 2, "a": 1.0, "n": -0.0})");
  EXPECT_THROW(static_cast<void>(Value::from_json("{", "x")), FormatError);
  EXPECT_THROW(static_cast<void>(Value::from_json(std::string(1000, '['), "x")), FormatError);
  EXPECT_THROW(static_cast<void>(Value::from_json("[1] 2", "x")), FormatError);
}

}  // namespace
}  // namespace gridmill::jinja

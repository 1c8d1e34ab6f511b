"""Chat templates for tests: the idioms of the families that are served, and ones that reach for the machine.

The good ones are written after the structure of the real templates (their loops, filters, macros and namespaces), for
what matters is that none of these idioms is taken for an attack.
"""

GOOD = {
    "smollm2": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "qwen 2.5 with tools": (
        "{%- if tools %}{{- '<|im_start|>system\\n' }}{{- \"# Tools\\n\\n<tools>\" }}"
        '{%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}'
        '{{- "\\n</tools>\\n<tool_call>\\n{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}\\n" }}'
        "{%- endif %}{%- for message in messages %}"
        '{%- if (message.role == "user") or (message.role == "system" and not loop.first) %}'
        "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
        '{%- elif message.role == "tool" %}'
        "{%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != \"tool\") %}{{- '<|im_start|>user' }}"
        "{%- endif %}{%- for tool_call in message.tool_calls %}{%- if tool_call.function is defined %}"
        "{%- set tool_call = tool_call.function %}{%- endif %}{{- tool_call.arguments | tojson }}{%- endfor %}"
        "{%- endif %}{%- endfor %}"
    ),
    "qwen 3 with thinking": (
        "{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}"
        "{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}"
        '{%- if ns.multi_step_tool and message.role == "user" and message.content is string and '
        "not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}"
        "{%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}{%- endif %}{%- endfor %}"
        "{%- for message in messages %}{%- set reasoning_content = '' %}"
        "{%- if '</think>' in message.content %}"
        "{%- set before = message.content.split('</think>')[0].rstrip('\\n') %}"
        "{%- set reasoning_content = before.split('<think>')[-1].lstrip('\\n') %}"
        "{%- endif %}{{- '<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' }}{%- endfor %}"
        "{%- if enable_thinking is defined and enable_thinking is false %}"
        "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    ),
    "llama 3.1": (
        "{{- bos_token }}{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}"
        "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
        '{%- set date_string = strftime_now("%d %b %Y") %}{%- endif %}{%- endif %}'
        "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content']|trim %}"
        '{%- set messages = messages[1:] %}{%- else %}{%- set system_message = "" %}{%- endif %}'
        '{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}'
        '{%- if builtin_tools is defined or tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}'
        '{{- "Tools: " + builtin_tools | reject(\'equalto\', \'code_interpreter\') | join(", ") + "\\n\\n"}}'
        "{%- for t in tools %}{{- t | tojson(indent=4) }}{%- endfor %}"
        "{%- if messages | length != 0 %}{%- set first_user_message = messages[0]['content']|trim %}{%- else %}"
        '{{- raise_exception("Cannot put tools in the first user message when there\'s no first user message!") }}'
        "{%- endif %}{%- for arg_name, arg_val in tool_call.arguments | items %}"
        "{{- arg_name + '=\"' + arg_val + '\"' }}{%- if not loop.last %}{{- \", \" }}{%- endif %}{%- endfor %}"
        '{{- "<|python_tag|>" + tool_call.name + ".call(" }}'
    ),
    "mistral": (
        '{%- if messages[0]["role"] == "system" %}{%- set system_message = messages[0]["content"] %}'
        "{%- set loop_messages = messages[1:] %}{%- else %}{%- set loop_messages = messages %}{%- endif %}"
        '{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}'
        "{%- set ns = namespace() %}{%- set ns.index = 0 %}{%- for message in loop_messages %}"
        '{%- if (message["role"] == "user") != (ns.index % 2 == 0) %}'
        '{{- raise_exception("conversation roles must alternate user/assistant/user/assistant/...") }}{%- endif %}'
        '{%- if tools is not none and (message == user_messages[-1]) %}{{- "[AVAILABLE_TOOLS] [" }}'
        '{%- for key, val in tool.items() if key != "return" %}{%- if val is string %}'
        "{{- '\"' + key + '\": \"' + val + '\"' }}{%- else %}{{- '\"' + key + '\": ' + val|tojson }}{%- endif %}"
        '{%- endfor %}{%- endif %}{{- "[TOOL_RESULTS] {\\"content\\": " + content|string + ", " }}'
        '{{- "[INST] " + message["content"] + "[/INST]" }}{%- endfor %}'
    ),
    "hermes with macros": (
        "{%- macro json_to_python_type(json_spec) %}"
        '{%- set basic_type_map = {"string": "str", "number": "float", "boolean": "bool"} %}'
        "{%- if basic_type_map[json_spec.type] is defined %}{{- basic_type_map[json_spec.type] }}"
        '{%- elif json_spec.type == "array" %}{{- "list[" + json_to_python_type(json_spec|items) + "]"}}'
        '{%- elif json_spec.type is iterable %}{{- "Union[" }}{%- for t in json_spec.type %}'
        '{{- json_to_python_type({"type": t}) }}{%- if not loop.last %}{{- "," }}{%- endif %}{%- endfor %}{{- "]" }}'
        "{%- endif %}{%- endmacro %}{{- bos_token }}{{- '<|im_start|>system\\n' }}"
        "{%- for param_name, param_fields in tool.parameters.properties|items %}"
        '{{- param_name + ": " + json_to_python_type(param_fields) }}{%- endfor %}'
        '{{- \'{"arguments": <args-dict>, "name": <function-name>}\\n\' }}'
        "{{- tool.name | replace('_', ' ') | title }}{# a comment with __class__ in it #}"
    ),
    "text between the code is not judged": "__init__ {{ messages[0].content }} {# __globals__ #} lipsum.__class__",
    "generation marks": "{% generation %}{{ m['content'] | default('', true) }}{% endgeneration %}{% break %}",
}

BAD = {
    "class": "{{ ''.__class__ }}",
    "subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals of a global": "{{ lipsum.__globals__['os'].popen('touch canary').read() }}",
    "cycler": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "bare lipsum": "{{ lipsum(n=1) }}",
    "subscript": "{{ ''['__class__'] }}",
    "attr filter": "{{ ''|attr('__class__') }}",
    "attr filter of parts": "{{ ''|attr('_'~'_class_'~'_') }}",
    "attr with blanks": "{{ '' | \n attr ( x ) }}",
    "hex escape": r"{{ ''['\x5f\x5fclass\x5f\x5f'] }}",
    "unicode escape": r"{{ ''['\u005f\u005fclass\u005f\u005f'] }}",
    "octal escape": r"{{ ''['\137\137class\137\137'] }}",
    "named escape": r"{{ ''['\N{LOW LINE}\N{LOW LINE}class\N{LOW LINE}\N{LOW LINE}'] }}",
    "joined": "{{ ''[['_','_class_','_']|join] }}",
    "joined underscores": "{{ ''[('_','_','class','_','_')|join] }}",
    "put together": "{{ ''['_' ~ '_class_' ~ '_'] }}",
    "multiplied": "{% set u = '_' * 2 %}{{ ''[u ~ 'class' ~ u] }}",
    "plus": "{% set u = '_' + '_' %}",
    "by numbers": "{{ ''['%c%cclass%c%c' | format(95, 95, 95, 95)] }}",
    "by format": "{{ '{0.real}'.format(1) }}",
    "format with dunder": "{{ '{0.__class__}'.format(x) }}",
    "underscore from elsewhere": "{{ (()|select|string|list)[24] }}",
    "map": "{{ [x]|map(attribute='__class__')|list }}",
    "private": "{{ messages._private }}",
    "private by key": "{{ self['_TemplateReference__context'] }}",
    "frame": "{{ (x for x in y).gi_frame.f_globals }}",
    "frame of a coroutine": "{{ f.cr_frame }}",
    "mro": "{{ x.mro() }}",
    "format map": "{{ '{x}'.format_map(y) }}",
    "import": "{% import 'os' as os %}",
    "include": "{% include '/etc/passwd' %}",
    "extends": "{%- extends 'x' %}",
    "from": "{%- from 'x' import y %}",
    "getattr": "{{ getattr(x, y) }}",
    "inside an if": "{% if ''.__class__ %}{% endif %}",
    "inside a set": "{% set x = joiner %}",
    "inside a loop": "{%- for c in x.__subclasses__() -%}{%- endfor -%}",
    "after a text with a brace": "{{ '}}' }}{{ ''.__class__ }}",
    "in code that is not closed": "{{ ''.__class__",
    "in a macro's default": "{% macro m(a=''.__class__) %}{% endmacro %}",
    "in a filter's argument": "{{ x | default(''.__class__) }}",
}  # fmt: skip
